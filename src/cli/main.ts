import { runCli } from './program.ts';

const controller = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // The second time a person asks, the answer is immediate.
    if (controller.signal.aborted) process.exit(130);
    controller.abort(new Error(`stopped by ${signal}`));
  });
}
// Started by a program that must leave nothing behind: gone when it is gone, however it ended.
if (process.env['FAIRLEAD_EXIT_WITH_STDIN'] === '1') {
  process.stdin.resume();
  // Watching it must not keep the process from ending by itself.
  process.stdin.unref();
  process.stdin.on('close', () => controller.abort(new Error('the program that started this has ended')));
}
// `fairlead status | head` must end quietly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

process.exitCode = await runCli(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  env: process.env,
  cwd: process.cwd(),
  isTerminal: process.stdout.isTTY,
  now: Date.now,
  signal: controller.signal,
});
