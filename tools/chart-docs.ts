import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getIn, parseYaml } from '#kube';

/** Everything below this line of a chart's README is written from its values.yaml. */
const MARK = '<!-- Below: written by `node tools/run.mjs docs` from values.yaml. -->';

/** README.md of a chart: its own words, then a table of its values with the comments (`# -- …`) that stand above them. */
export function chartReadme(root: string, chart: string): string {
  const dir = join(root, 'charts', chart);
  const own = readFileSync(join(dir, 'README.md'), 'utf8').split(MARK)[0] ?? '';
  const text = readFileSync(join(dir, 'values.yaml'), 'utf8');
  const values = parseYaml(text);
  const rows: string[] = [];
  const path: { readonly indent: number; readonly key: string }[] = [];
  let comment: string | undefined;
  for (const line of text.split('\n')) {
    const said = /^\s*# -- (.*)$/.exec(line);
    if (said !== null) {
      comment = said[1];
      continue;
    }
    const found = /^(\s*)([A-Za-z]\w*):/.exec(line);
    if (found === null) continue;
    const indent = found[1]?.length ?? 0;
    while ((path.at(-1)?.indent ?? -1) >= indent) path.pop();
    path.push({ indent, key: found[2] ?? '' });
    if (comment === undefined) continue;
    const keys = path.map((one) => one.key);
    rows.push(
      `| \`${keys.join('.')}\` | ${comment.replaceAll('|', '\\|')} | \`${JSON.stringify(getIn(values, ...keys) ?? null)}\` |`,
    );
    comment = undefined;
  }
  return [`${own}${MARK}`, '', '| value | meaning | default |', '|---|---|---|', ...rows].join('\n');
}
