import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { messageOf } from '#base';
import { Demo } from './demo.ts';
import { demoUsage, parseDemoOptions } from './options.ts';
import { createProgress } from './progress.ts';
import { tour } from './tour.ts';

/** `npm run demo`: a whole fleet on this machine, until Ctrl-C or SIGTERM; it leaves no process behind. */
const controller = new AbortController();
const stopped = new Promise<void>((done) => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted && signal === 'SIGINT') process.exit(130);
      controller.abort(new Error(`stopped by ${signal}`));
      done();
    });
  }
});

async function main(): Promise<number> {
  const options = parseDemoOptions(process.argv.slice(2), resolve(import.meta.dirname, '..', '..', '..'));
  if (options === 'help') {
    process.stdout.write(demoUsage);
    return 0;
  }
  const progress = createProgress((line) => void process.stderr.write(line));
  await using demo = await Demo.start(resolve(options.dataDir), progress, controller.signal);
  progress.say('ready');
  if (options.out !== undefined) await writeFile(options.out, `${JSON.stringify(demo.describe(), undefined, 2)}\n`);
  if (options.headless) await stopped;
  else await tour(demo, progress, controller, stopped);
  progress.say('stopping');
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!controller.signal.aborted) {
    process.stderr.write(`fairlead: ${messageOf(error)}\n`);
    process.exitCode = 1;
  }
}
