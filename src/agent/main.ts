import { runAgentCommand } from './command.ts';

/** Entry of the shipped bundle (`dist/agent.mjs`): the agent alone, without the rest of `fairlead`. */
process.exitCode = await runAgentCommand(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  env: process.env,
});
