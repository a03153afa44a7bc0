import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { reasonAreas, reasons, type ReasonArea } from '#api';

/** Where the words are that people wrote: an introduction, then a section for each code that needs more than its sentence. */
const SOURCE = 'tools/troubleshooting.md';

export interface Depth {
  readonly introduction: string;
  /** Code → Markdown. */
  readonly sections: ReadonlyMap<string, string>;
}

export function troubleshootingDepth(root: string): Depth {
  const [introduction = '', ...parts] = readFileSync(join(root, SOURCE), 'utf8').split(/^## (?=FL_)/m);
  const sections = parts.map((part): [string, string] => {
    const end = part.indexOf('\n');
    return [part.slice(0, end).trim(), part.slice(end).trim()];
  });
  return { introduction: introduction.trim(), sections: new Map(sections) };
}

/** docs/how-to/troubleshooting.md: every code with its sentence, who can act, what to do, and what people wrote about it. */
export function troubleshootingPage(root: string, generated: string, areaWords: Readonly<Record<ReasonArea, string>>): string {
  const { introduction, sections } = troubleshootingDepth(root);
  const [title = '', ...rest] = introduction.split('\n');
  const lines = [title, generated.replace('the code', `the code or ${SOURCE}`), ...rest];
  for (const area of reasonAreas) {
    if (area === 'done') continue;
    const codes = Object.entries(reasons).filter(([, definition]) => definition.area === area);
    lines.push('', `## ${areaWords[area]}`);
    for (const [code, definition] of codes) {
      lines.push('', `### ${code}`, '', `> ${escapeQuote(definition.says)}`, '');
      if ('next' in definition) lines.push(`What to do: ${escapeQuote(definition.next)}. Who can act: ${definition.actor}.`);
      else lines.push(`Who can act: ${definition.actor}.`);
      const depth = sections.get(code);
      if (depth !== undefined) lines.push('', depth);
    }
  }
  return lines.join('\n');
}

function escapeQuote(text: string): string {
  return text.replaceAll('<', '\\<');
}
