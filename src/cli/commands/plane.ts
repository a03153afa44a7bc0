import { join } from 'node:path';
import { FairleadError, jsonLog, Sensitive, type LogLevel } from '#base';
import { buildConsole } from '#console';
import { adoptPlane, planeRoles, rotatePlaneKey, startPlane, type PlaneRole } from '#plane';
import { databaseOptions, databaseName } from '../database.ts';
import type { Io } from '../output.ts';

/** `fairlead plane`, and `fairlead plane adopt` and `rotate-key`: runs until it is asked to stop. */
export async function planeCommand(
  io: Io,
  action: string | undefined,
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  const database = databaseOptions(io.env, options);
  if (action === 'adopt') {
    await adoptPlane(database);
    io.out(
      `the keys in ${database.keysDir ?? `${database.dataDir}/keys`} now belong to the database ${databaseName(database)}; start the plane again\n`,
    );
    return 0;
  }
  const revoke = options['revoke'] === true;
  if (action === 'rotate-key') {
    const version = await rotatePlaneKey({ ...database, revoke });
    io.out(
      `a new key signs from now on (key set ${version}); processes that run take it over within a minute, agents with their next document\n` +
        (revoke ? 'what former keys signed counts no more\n' : '') +
        'back up the key directory\n',
    );
    return 0;
  }
  if (action !== undefined)
    throw new FairleadError('FL_CLI_ACTION', `plane takes no "${action}"; it takes nothing, adopt, or rotate-key`, {
      kind: 'invalid',
    });
  if (revoke) throw new FairleadError('FL_CLI_REVOKE', '--revoke is for fairlead plane rotate-key', { kind: 'invalid' });
  const report = (line: string): void => io.err(`fairlead: ${line}\n`);
  // An image brings what is otherwise built at the first start.
  const assets = io.env['FAIRLEAD_ASSETS'];
  const isShipped = assets !== undefined && assets !== '';
  const withConsole = options['console'] !== 'off';
  const consoleDir = !withConsole ? undefined : isShipped ? join(assets, 'console') : await buildConsole(report);
  const externalUrl = options['externalUrl'] as string | undefined;
  await using plane = await startPlane({
    ...database,
    ...(options['roles'] === undefined ? {} : { roles: rolesOf(options['roles'] as string) }),
    listen: address(options['listen'] as string),
    ...(options['console'] === 'off' ? {} : { consoleListen: address(options['console'] as string) }),
    ...(options['health'] === 'off' ? {} : { healthListen: address(options['health'] as string) }),
    ...(consoleDir === undefined ? {} : { consoleDir }),
    ...(isShipped ? { rendererPath: join(assets, 'render.wasm') } : {}),
    ...(externalUrl === undefined ? {} : { externalUrl }),
    tlsNames: (options['tlsName'] as string[] | undefined) ?? [],
    allowFileUrls: options['allowFileUrls'] === true,
    allowHttpUrls: options['allowHttpUrls'] === true,
    egress: {
      allow: (options['allowEgress'] as string[] | undefined) ?? [],
      deny: (options['denyEgress'] as string[] | undefined) ?? [],
      direct: (options['egressDirect'] as string[] | undefined) ?? [],
      ...egressProxy(io, options['egressProxy'] as string | undefined),
    },
    log: jsonLog({ level: options['logLevel'] as LogLevel, write: io.err }),
    report,
  });
  // A link that logs in is for the person at the terminal: elsewhere output is kept as a log, which others read.
  const consoleUrl = io.isTerminal ? plane.loginUrl() : plane.consoleUrl;
  io.out(
    `plane:      ${plane.url}\nkubeconfig: ${plane.kubeconfig}\n${consoleUrl === undefined ? '' : `console:    ${consoleUrl}\n`}`,
  );
  if (plane.frozen)
    io.err(
      'fairlead: this plane is frozen: its database and its keys do not belong together; restore the matching database, or run fairlead plane adopt\n',
    );
  await new Promise<void>((resolve) => {
    if (io.signal.aborted) resolve();
    else io.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  io.err('fairlead: stopping\n');
  return 0;
}

/** Taken out of the environment, and out of what `ps` shows, as soon as it was read: it may hold a password. */
function egressProxy({ env }: Io, given: string | undefined): { readonly proxy?: Sensitive<string> } {
  const url = given ?? env['FAIRLEAD_EGRESS_PROXY'];
  delete process.env['FAIRLEAD_EGRESS_PROXY'];
  if (given !== undefined) process.title = 'fairlead';
  return url === undefined || url === '' ? {} : { proxy: new Sensitive(url) };
}

function rolesOf(text: string): readonly PlaneRole[] {
  return text.split(',').map((name) => {
    const role = planeRoles.find((one) => one === name.trim());
    if (role === undefined)
      throw new FairleadError('FL_CLI_ROLE', `"${name}" is no role; roles are ${planeRoles.join(', ')}`, { kind: 'invalid' });
    return role;
  });
}

function address(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-f:]+)\]|([^:]+)):(\d{1,5})$/i.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new FairleadError('FL_CLI_ADDRESS', `"${text}" is no address; write HOST:PORT`, { kind: 'invalid' });
  return { host: match[1] ?? match[2] ?? '', port };
}
