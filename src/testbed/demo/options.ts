import { parseArgs } from 'node:util';
import { join } from 'node:path';

export interface DemoOptions {
  readonly headless: boolean;
  /** Where the description of what runs is written when all is ready. */
  readonly out: string | undefined;
  readonly dataDir: string;
}

export const demoUsage = `npm run demo [-- --headless] [--out FILE] [--data DIR]

  --headless   no tour and no keyboard; ends on SIGTERM
  --out FILE   write {plane, console, git, clusters} as JSON when all is ready
  --data DIR   directory for everything it writes; emptied at the start (default .data/demo)
`;

export function parseDemoOptions(args: readonly string[], root: string): DemoOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      headless: { type: 'boolean' },
      out: { type: 'string' },
      data: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
    strict: true,
  });
  if (values.help === true) return 'help';
  return { headless: values.headless ?? false, out: values.out, dataDir: values.data ?? join(root, '.data', 'demo') };
}
