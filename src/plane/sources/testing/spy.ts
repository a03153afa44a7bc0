import { readdir, readFile } from 'node:fs/promises';

export interface Spied {
  /** Processes of git and ssh that were looked at. */
  readonly looks: number;
  /** Command lines of those that held the secret in arguments or environment. */
  readonly leaks: readonly string[];
}

/** Reads arguments and environment of every git and ssh process on this machine, again and again, while `work` runs. */
export async function spyOnProcesses(secrets: readonly string[], work: () => Promise<unknown>): Promise<Spied> {
  const leaks: string[] = [];
  let looks = 0;
  const over = new AbortController();
  const watching = (async () => {
    while (!over.signal.aborted) {
      for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
        const [args = '', env = ''] = await Promise.all(
          ['cmdline', 'environ'].map((name) => readFile(`/proc/${pid}/${name}`, 'latin1').catch(() => '')),
        );
        if (!/^\S*(git|ssh)/.test(args)) continue;
        looks += 1;
        if (secrets.some((secret) => `${args}${env}`.includes(secret))) leaks.push(args);
      }
    }
  })();
  try {
    await work();
  } finally {
    over.abort();
    await watching;
  }
  return { looks, leaks };
}
