import { runAgentCommand } from './command.ts';

/** Entry of the shipped bundle (`dist/agent.mjs`): the agent alone, without the rest of `fairlead`. */
const controller = new AbortController();
// Started by a program that must leave nothing behind: gone when it is gone, however it ended.
if (process.env['FAIRLEAD_EXIT_WITH_STDIN'] === '1') {
  process.stdin.resume();
  // Watching it must not keep the process from ending by itself.
  process.stdin.unref();
  process.stdin.on('close', () => controller.abort(new Error('the program that started this has ended')));
}

process.exitCode = await runAgentCommand(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  env: process.env,
  signal: controller.signal,
});
