/**
 * `node tools/run.mjs docs`: writes docs/reference, docs/how-to/troubleshooting.md and the charts' READMEs from the code.
 * tools/docs.test.ts fails when what is committed is not what this writes.
 */
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { reasonAreas, reasons, servedKinds, type Kind, type ReasonArea } from '#api';
import { agentOptionTable, type AgentOption } from '#agent';
import { buildProgram } from '#cli';
import { chartReadme } from './chart-docs.ts';
import { troubleshootingPage } from './troubleshooting.ts';

const root = join(import.meta.dirname, '..');

interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
}

/** Path under the repository → text. */
export function referencePages(): ReadonlyMap<string, string> {
  return new Map([
    ['docs/reference/kinds.md', kindsPage()],
    ['docs/reference/reasons.md', reasonsPage()],
    ['docs/reference/cli.md', cliPage()],
    ['docs/reference/errors.md', errorsPage()],
    ['docs/how-to/troubleshooting.md', troubleshootingPage(root, generated, areaWords)],
    ['charts/fairlead/README.md', chartReadme(root, 'fairlead')],
    ['charts/fairlead-agent/README.md', chartReadme(root, 'fairlead-agent')],
  ]);
}

const generated = '<!-- Written by `node tools/run.mjs docs`; change the code, not this page. -->';

function kindsPage(): string {
  return [
    '# Kinds',
    generated,
    '',
    'Group `fairlead.dev`, version `v1alpha1`. `kubectl explain <kind>` says the same. Kinds marked read-only are written by the plane.',
    ...servedKinds.map(kindSection),
  ].join('\n');
}

function kindSection(kind: Kind): string {
  const lines = [
    '',
    `## ${kind.kind}`,
    '',
    kind.description,
    '',
    `\`kubectl get ${kind.plural}\`${kind.shortNames.length === 0 ? '' : `, short ${kind.shortNames.map((name) => `\`${name}\``).join(', ')}`}. ${kind.scope === 'Cluster' ? 'Cluster-scoped' : 'Lives in a project (namespace)'}${kind.access === 'read' ? ', read-only' : ''}.${kind.selectable.length === 0 ? '' : ` Field selectors: ${kind.selectable.map((path) => `\`${path}\``).join(', ')}.`}`,
  ];
  if (kind.example !== undefined) lines.push('', '```yaml', kind.example.trimEnd(), '```');
  lines.push(
    '',
    '| field | type | meaning |',
    '|---|---|---|',
    ...fieldRows('spec', kind.specSchema),
    ...fieldRows('status', kind.statusSchema),
  );
  return lines.join('\n');
}

/** TypeBox schemas are JSON Schema; this page needs only the keywords named in Schema. */
function fieldRows(path: string, schema: Schema): string[] {
  const { properties = {}, required = [] } = schema;
  return Object.entries(properties).flatMap(([name, field]) => {
    const here = `${path}.${name}`;
    const given = [
      required.includes(name) ? 'required' : '',
      field.default === undefined ? '' : `default \`${JSON.stringify(field.default)}\``,
    ].filter((text) => text !== '');
    const row = `| \`${here}\` | ${typeOf(field)}${given.length === 0 ? '' : `, ${given.join(', ')}`} | ${escape(field.description ?? '')} |`;
    const inner = field.type === 'array' ? field.items : field;
    return [row, ...(inner?.properties === undefined ? [] : fieldRows(field.type === 'array' ? `${here}[]` : here, inner))];
  });
}

function typeOf(field: Schema): string {
  if (field.enum !== undefined) return field.enum.map((value) => `\`${String(value)}\``).join(' \\| ');
  if (field.type === 'array') return `list of ${field.items === undefined ? 'anything' : typeOf(field.items)}`;
  if (field.patternProperties !== undefined) return 'map';
  return field.type ?? 'anything';
}

function escape(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

const areaWords: Readonly<Record<ReasonArea, string>> = {
  source: 'The source cannot be read',
  render: 'The files do not become objects',
  claim: 'It may not, or somebody else does',
  hold: 'It is held back',
  contact: 'The cluster is not heard of',
  apply: 'The cluster is taking it, or refuses it',
  health: 'It is there, and not well',
  drift: 'Somebody changed it',
  agent: 'What agents say',
  done: 'Nothing to do',
};

function reasonsPage(): string {
  const lines = [
    '# Reasons',
    generated,
    '',
    'Why something is not done, who can act, and what happens next. The same sentence stands in `kubectl get`, in the CLI, in the console and in events. A delivery explains itself by the first of these areas that has something to say.',
  ];
  for (const area of reasonAreas) {
    lines.push('', `## ${areaWords[area]}`, '', '| code | sentence | next | who can act |', '|---|---|---|---|');
    for (const [code, definition] of Object.entries(reasons)) {
      if (definition.area !== area) continue;
      lines.push(
        `| \`${code}\` | ${escape(definition.says)} | ${escape('next' in definition ? definition.next : '')} | ${definition.actor} |`,
      );
    }
  }
  return lines.join('\n');
}

function cliPage(): string {
  const silent = () => undefined;
  const program = buildProgram(
    { out: silent, err: silent, env: {}, cwd: '/', isTerminal: false, now: () => 0, signal: new AbortController().signal },
    silent,
  );
  const lines = [
    '# Command line',
    generated,
    '',
    'Data goes to standard output, prose to standard error. Exit codes: 0 ok, 1 failure, 2 wrong use, 3 not what Git says (or: there is a difference).',
  ];
  for (const command of program.commands) {
    const usage = [
      command.name(),
      ...command.registeredArguments.map((argument) => (argument.required ? `<${argument.name()}>` : `[${argument.name()}]`)),
    ].join(' ');
    lines.push('', `## fairlead ${usage}`, '', `${command.description()}.`);
    if (command.name() === 'agent') {
      lines.push('', '| option | variable | meaning | default |', '|---|---|---|---|');
      for (const { name, value, env, says, fallback } of agentOptionTable as readonly AgentOption[])
        lines.push(
          `| \`--${name} <${value}>\` | \`${env}\` | ${escape(says)} | ${fallback === undefined ? '' : `\`${fallback}\``} |`,
        );
    }
    if (command.options.length > 0) {
      lines.push('', '| option | meaning | default |', '|---|---|---|');
      for (const option of command.options) {
        const fallback = (JSON.stringify(option.defaultValue) ?? '').replaceAll('"', '');
        const shown = fallback === '' || fallback === '[]' ? '' : `\`${fallback}\``;
        const choices = option.argChoices === undefined ? '' : ` (${option.argChoices.join(', ')})`;
        lines.push(`| \`${escape(option.flags)}\` | ${escape(option.description)}${choices} | ${shown} |`);
      }
    }
  }
  return lines.join('\n');
}

function errorsPage(): string {
  const found = new Map<string, { message: string; room: string }>();
  for (const file of globSync('src/**/*.{ts,tsx}', { cwd: root }).sort()) {
    if (/\.test\.tsx?$|\/testing\//.test(file)) continue;
    const text = readFileSync(join(root, file), 'utf8');
    for (const match of text.matchAll(/'(FL_[A-Z0-9_]+)',\s*(?:`((?:[^`\\]|\\.)*)`|'((?:[^'\\]|\\.)*)')/g)) {
      const [, code = '', template, plain] = match;
      if (Object.hasOwn(reasons, code) || found.has(code)) continue;
      const message = (template ?? plain ?? '').replaceAll(/\$\{[^}]*\}/g, '…').replaceAll('\\n', ' ');
      found.set(code, { message, room: dirname(file).split('/').slice(1, 3).join('/') });
    }
  }
  const lines = [
    '# Errors',
    generated,
    '',
    'Codes of errors that commands and APIs answer, with their words (… stands for what varies). Reasons have a page of their own.',
    '',
    '| code | says | from |',
    '|---|---|---|',
  ];
  for (const [code, { message, room }] of [...found].sort(([a], [b]) => a.localeCompare(b)))
    lines.push(`| \`${code}\` | ${escape(message)} | ${room} |`);
  return lines.join('\n');
}

if (import.meta.main) {
  for (const [path, text] of referencePages()) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
    process.stdout.write(`${path}\n`);
  }
}
