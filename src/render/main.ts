/**
 * `node src/render/main.ts DIR`: prints what a directory of manifests renders to, or what is wrong with it, file:line
 * first. Secret values are never printed.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { argv, exit, stderr, stdout } from 'node:process';
import { parseArgs } from 'node:util';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { DUMP_SCHEMA, dump, intYaml11Tag } from 'js-yaml';
import { FairleadError, messageOf, silentLog } from '#base';
import { buildRenderer } from './build.ts';
import { defaultLimits } from './limits.ts';
import { createRenderer } from './renderer.ts';
import type { RenderedObject, RenderError, RenderRequest } from './types.ts';

const usage = `Usage: node src/render/main.ts DIR [options]

Prints the objects that a directory of manifests renders to, in the order in which an agent applies them.

  --cluster NAME            the cluster to render for (default: local)
  --label KEY=VALUE         a label of the cluster; repeat
  --fact KEY=VALUE          a fact of the cluster; repeat
  --substitute              substitute \${cluster.…} inside manifests
  --no-recurse              leave out directories below DIR
  --default-namespace NAME  for namespaced objects that name none
  -o, --output yaml|json    default yaml; json is one canonical object per line
`;

interface Command {
  readonly directory: string;
  readonly cluster: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly facts: Readonly<Record<string, string>>;
  readonly substitute: boolean;
  readonly recurse: boolean;
  readonly defaultNamespace: string | undefined;
  readonly output: 'yaml' | 'json';
}

function parseCommand(args: readonly string[]): Command | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      cluster: { type: 'string', default: 'local' },
      label: { type: 'string', multiple: true, default: [] },
      fact: { type: 'string', multiple: true, default: [] },
      substitute: { type: 'boolean', default: false },
      'no-recurse': { type: 'boolean', default: false },
      'default-namespace': { type: 'string' },
      output: { type: 'string', short: 'o', default: 'yaml' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const directory = positionals[0];
  if (values.help || directory === undefined || positionals.length > 1) return undefined;
  if (values.output !== 'yaml' && values.output !== 'json') throw invalid(`output is yaml or json, not ${values.output}`);
  return {
    directory,
    cluster: values.cluster,
    labels: pairs(values.label, '--label'),
    facts: pairs(values.fact, '--fact'),
    substitute: values.substitute,
    recurse: !values['no-recurse'],
    defaultNamespace: values['default-namespace'],
    output: values.output,
  };
}

function pairs(texts: readonly string[], flag: string): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf('=');
      if (at < 1) throw invalid(`${flag} takes key=value, not ${text}`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

function invalid(message: string): FairleadError {
  return new FairleadError('FL_RENDER_ARGUMENT', message, { kind: 'invalid' });
}

/** Regular files only: links are what a reader of untrusted directories must not follow. */
async function readFiles(directory: string): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  let bytes = 0;
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    const name = relative(directory, path).split(sep).join('/');
    if (!entry.isFile() || name.startsWith('.git/') || name.startsWith('node_modules/')) continue;
    if (!/\.(ya?ml|json)$/.test(name) && entry.name !== 'Kustomization') continue;
    const content = await readFile(path);
    bytes += content.byteLength;
    files.set(name, content);
    if (bytes > defaultLimits.inputBytes || files.size > defaultLimits.files) break;
  }
  return files;
}

async function run(command: Command): Promise<boolean> {
  const files = await readFiles(command.directory);
  const wasmPath = await buildRenderer({ onProgress: (line) => stderr.write(`${line}\n`) });
  const renderer = await createRenderer({ wasmPath, log: silentLog });
  // Secrets are sealed to a key that nobody keeps: this command shows them redacted.
  const recipient = await identityToRecipient(await generateX25519Identity());
  const request: RenderRequest = {
    project: 'local',
    application: 'local',
    cluster: { name: command.cluster, labels: command.labels, facts: command.facts },
    files,
    render: { engine: 'manifests', recurse: command.recurse, substitute: command.substitute },
    ...(command.defaultNamespace === undefined ? {} : { defaultNamespace: command.defaultNamespace }),
    commitTimeMs: 0,
    seed: '00'.repeat(32),
    recipients: [{ cluster: command.cluster, ageRecipient: recipient, equalityKey: '00'.repeat(32) }],
  };
  try {
    const result = await renderer.render(request);
    if (result.ok) for (const object of result.objects) stdout.write(print(object, command.output));
    else for (const error of result.errors) stderr.write(`${sentence(error, command.directory)}\n`);
    return result.ok;
  } finally {
    renderer.stop();
  }
}

function print(object: RenderedObject, output: 'yaml' | 'json'): string {
  const body = Buffer.from(object.sensitive ? object.redactedBody : object.body).toString('utf8');
  if (output === 'json') return `${body}\n`;
  const { file, line } = object.source;
  const value: unknown = JSON.parse(body, exactNumbers);
  return `---\n# ${file}:${line} (stage ${object.stage}${object.wave === 0 ? '' : `, wave ${object.wave}`})\n${dump(value, { schema: exactSchema, lineWidth: -1, noRefs: true })}`;
}

// JavaScript's numbers end at 2^53; longer integers are read and printed as bigint.
const exactSchema = DUMP_SCHEMA.withTags({
  ...intYaml11Tag,
  identify: (value: unknown): boolean => typeof value === 'bigint' || intYaml11Tag.identify(value),
  represent: (value: unknown): string => (typeof value === 'bigint' ? value.toString() : intYaml11Tag.represent(value)),
});

function exactNumbers(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  return typeof value === 'number' &&
    !Number.isSafeInteger(value) &&
    context?.source !== undefined &&
    /^-?\d+$/.test(context.source)
    ? BigInt(context.source)
    : value;
}

function sentence(error: RenderError, directory: string): string {
  const place = error.file === undefined ? '' : `${join(directory, error.file)}:${error.line ?? 1}: `;
  return `${place}${error.message}${error.object === undefined ? '' : ` (${error.object})`} [${error.code} ${error.rule}]`;
}

try {
  const command = parseCommand(argv.slice(2));
  if (command === undefined) {
    stderr.write(usage);
    exit(2);
  }
  exit((await run(command)) ? 0 : 1);
} catch (error) {
  stderr.write(`${messageOf(error)}\n`);
  exit(2);
}
