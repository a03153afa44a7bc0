import { readFileSync } from 'node:fs';
import { FairleadError, messageOf, Sensitive } from '#base';
import type { DatabaseOptions } from '#plane';

const VARIABLE = 'FAIRLEAD_DATABASE_URL';

/**
 * Where the plane keeps itself, by `--data`, `--keys`, and `--database-url`, `--database-url-file` or FAIRLEAD_DATABASE_URL.
 * A URL is taken out of the environment, and out of what `ps` shows, as soon as it was read. Errors: FL_CLI_DATABASE.
 */
export function databaseOptions(
  env: Readonly<Record<string, string | undefined>>,
  options: Readonly<Record<string, unknown>>,
): DatabaseOptions {
  const [given, file, keysDir] = ['databaseUrl', 'databaseUrlFile', 'keys'].map((name) => options[name] as string | undefined);
  if (given !== undefined && file !== undefined) {
    throw new FairleadError('FL_CLI_DATABASE', '--database-url and --database-url-file say the same; give one of them', {
      kind: 'invalid',
    });
  }
  const url = given ?? (file === undefined ? env[VARIABLE] : readUrl(file));
  // Children of this process get an environment of their own; this is for whoever reads ours.
  delete process.env[VARIABLE];
  if (given !== undefined) process.title = 'fairlead';
  return {
    dataDir: options['data'] as string,
    ...(keysDir === undefined ? {} : { keysDir }),
    ...(url === undefined || url === '' ? {} : { databaseUrl: new Sensitive(url.trim()) }),
  };
}

/** For people: never with the password. */
export function databaseName({ dataDir, databaseUrl }: DatabaseOptions): string {
  if (databaseUrl === undefined) return `in ${dataDir}/store`;
  const url = databaseUrl.reveal();
  return URL.canParse(url) ? `${new URL(url).host}${new URL(url).pathname}` : 'of the database URL';
}

function readUrl(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new FairleadError('FL_CLI_DATABASE', `cannot read --database-url-file ${file}: ${messageOf(cause)}`, {
      kind: 'invalid',
      cause,
    });
  }
}
