/**
 * cli: `fairlead`. A thin client of the plane's API and views, and the way to start a plane or an agent. Data goes to
 * standard output, prose to standard error; exit codes: 0 ok, 1 failure, 2 wrong use, 3 not what Git says.
 */
export { buildProgram, exitCodes, runCli } from './program.ts';
export type { Io } from './output.ts';
