import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { FairleadError, messageOf } from '#base';
import { connect, findKubeconfig, type Plane } from './connect.ts';
import { outputFormats, type Io, type OutputFormat } from './output.ts';
import { parseTarget } from './targets.ts';

/** ok, failure, wrong use, not what Git says (or: there is a difference). */
export const exitCodes = { ok: 0, failure: 1, usage: 2, drift: 3 } as const;

interface Common {
  readonly kubeconfig?: string;
  readonly project: string;
  readonly output: OutputFormat;
}

const VERSION = '0.1.0';

/** Runs one command line; answers the exit code. Never throws, never exits the process. */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  let code: number = exitCodes.ok;
  const program = buildProgram(io, (answer) => {
    code = answer;
  });
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    io.err(`fairlead: ${messageOf(error)}\n`);
    return error instanceof FairleadError && error.code.startsWith('FL_CLI_') ? exitCodes.usage : exitCodes.failure;
  }
}

/** The whole command line; also what its reference is generated from. */
export function buildProgram(io: Io, answer: (code: number) => void): Command {
  const program = new Command('fairlead')
    .description('One management plane for a fleet of Kubernetes clusters.')
    .version(VERSION)
    .exitOverride()
    .showHelpAfterError('(fairlead help COMMAND tells more)')
    .configureOutput({ writeOut: io.out, writeErr: io.err });

  /** A command that talks to a plane. */
  function ask(
    definition: string,
    description: string,
    run: (plane: Plane, common: Common, args: readonly string[], options: Readonly<Record<string, unknown>>) => Promise<number>,
  ): Command {
    return program
      .command(definition)
      .description(description)
      .option('--kubeconfig <file>', 'admin.kubeconfig of the plane (or FAIRLEAD_KUBECONFIG)')
      .option('-n, --project <project>', 'project (namespace on the plane)', 'default')
      .addOption(new Option('-o, --output <format>', 'output').choices([...outputFormats]).default('table'))
      .action(async (...given: unknown[]) => {
        // commander hands over the arguments, the options and the command, in this order.
        const command = given.at(-1) as Command;
        const options = command.opts<Common & Record<string, unknown>>();
        const plane = await connect({ kubeconfig: options.kubeconfig, env: io.env, cwd: io.cwd });
        try {
          answer(await run(plane, options, command.args, options));
        } finally {
          plane.close();
        }
      });
  }

  program
    .command('plane')
    .description('run the plane: its API, its controllers and the console')
    .argument('[action]', '"adopt": accept a database that these keys do not know; "rotate-key": a new signing key')
    .option('--data <dir>', 'directory for the database, the keys and the sources', '.data/plane')
    .option('--keys <dir>', 'directory of the keys, the same for every process of a plane; default: keys in the data directory')
    .option(
      '--database-url <url>',
      'PostgreSQL instead of SQLite: postgres://user@host:port/database; with a password better in a file or in FAIRLEAD_DATABASE_URL',
    )
    .option('--database-url-file <file>', 'file that holds the database URL')
    .option('--roles <roles>', 'what this process does, of gateway,api,controllers,render; default: all')
    .option('--listen <host:port>', 'address of the API (TLS)', '127.0.0.1:8443')
    .option('--health <host:port|off>', 'address for probes (plain HTTP: /healthz, /livez, /readyz)', 'off')
    .option('--console <host:port|off>', 'address of the console (plain HTTP, loopback only)', '127.0.0.1:8080')
    .option('--external-url <url>', 'URL under which agents and people reach the API; default: the listen address')
    .option('--tls-name <name...>', 'further names of the certificate')
    .option('--allow-file-urls', 'let repositories use file:// URLs (for trying things out)')
    .option('--allow-http-urls', 'let repositories use http:// URLs on loopback (for trying things out)')
    .option(
      '--allow-egress <cidr...>',
      'addresses that sources may be read from although they are loopback, link-local or reserved, such as 127.0.0.0/8',
    )
    .option('--deny-egress <cidr...>', 'addresses that sources may not be read from, such as 10.0.0.0/8')
    .option('--revoke', 'with rotate-key: believe nothing any more that former keys signed, because somebody else may have them')
    .option(
      '--egress-proxy <url>',
      'read sources by this HTTP proxy: http://host:port; with a password better in FAIRLEAD_EGRESS_PROXY',
    )
    .option('--egress-direct <host...>', 'hosts that sources are read from without the proxy, such as .corp.example.com')
    .addOption(new Option('--log-level <level>', 'what to log').choices(['debug', 'info', 'warn', 'error']).default('info'))
    .action(async (action: string | undefined, options: Record<string, unknown>) => {
      const { planeCommand } = await import('./commands/plane.ts');
      answer(await planeCommand(io, action, options));
    });

  program
    .command('backup')
    .description('write the database of a plane, running or not, into a file (the keys are not in it)')
    .requiredOption('--out <file>', 'file to write; it must not be there yet')
    .option('--data <dir>', 'data directory of the plane', '.data/plane')
    .option('--database-url <url>', 'PostgreSQL instead of SQLite, as for plane')
    .option('--database-url-file <file>', 'file that holds the database URL')
    .action(async (options: Record<string, unknown>) => {
      const { backup } = await import('./commands/backup.ts');
      answer(await backup(io, options));
    });

  program
    .command('restore <file>')
    .description('put a backup in the place of the database; also from SQLite to PostgreSQL and back')
    .option('--replace', 'also when the database holds a plane')
    .option('--data <dir>', 'data directory of the plane', '.data/plane')
    .option('--keys <dir>', 'directory of the keys; default: keys in the data directory')
    .option('--database-url <url>', 'PostgreSQL instead of SQLite, as for plane')
    .option('--database-url-file <file>', 'file that holds the database URL')
    .action(async (file: string, options: Record<string, unknown>) => {
      const { restore } = await import('./commands/backup.ts');
      answer(await restore(io, file, options));
    });

  program
    .command('agent')
    .description('run an agent beside a cluster')
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .addHelpText('after', '\nfairlead agent --help lists its options.')
    .action(async (_options: unknown, command: Command) => {
      const { runAgentCommand } = await import('#agent');
      answer(await runAgentCommand(command.args, io));
    });

  ask(
    'enroll <cluster>',
    'create a cluster if needed and print a join token for its agent',
    async (plane, common, [name = ''], options) => {
      const { enroll } = await import('./commands/enroll.ts');
      return enroll(plane, io, name, {
        labels: options['label'] as string[],
        ttlSeconds: options['ttl'] as number | undefined,
        output: common.output,
        agentNamespace: options['agentNamespace'] as string,
        planeUrl: options['planeUrl'] as string | undefined,
        ...(options['manifests'] === true
          ? { manifests: { image: options['image'] as string | undefined, profile: options['profile'] as string | undefined } }
          : {}),
      });
    },
  )
    .option('-l, --label <key=value>', 'label of the cluster; may be repeated', collect, [])
    .option('--ttl <duration>', 'how long the token is good for, at most 1h', seconds)
    .option('--manifests', 'print what runs the agent in the cluster, token included, for kubectl apply -f -')
    .option('--image <image>', 'with --manifests: image of the agent')
    .option('--profile <profile>', 'with --manifests: what the agent may do (namespaces=a,b, cluster-role=NAME or admin)')
    .option('--agent-namespace <name>', "the agent's own namespace in the cluster", 'fairlead-system')
    .option('--plane-url <url>', 'address of the plane as the cluster reaches it; default: as in the kubeconfig');

  program
    .command('kubeconfig')
    .description('print the path of the kubeconfig of the plane, or the file itself with --raw')
    .option('--kubeconfig <file>', 'admin.kubeconfig of the plane (or FAIRLEAD_KUBECONFIG)')
    .option('--raw', 'print the file')
    .action(async (options: { kubeconfig?: string; raw?: boolean }) => {
      const path = findKubeconfig({ kubeconfig: options.kubeconfig, env: io.env, cwd: io.cwd });
      if (options.raw === true) {
        const { readFile } = await import('node:fs/promises');
        io.out(await readFile(path, 'utf8'));
      } else io.out(`${path}\n`);
    });

  ask(
    'status',
    'one verdict, and everything that is not what Git says (exit code 3 if anything is not)',
    async (plane, common, _args, options) => {
      const { status } = await import('./commands/status.ts');
      const where = options['where'] as string | undefined;
      return status(plane, io, {
        output: common.output,
        ...(where === undefined ? {} : { where }),
        ...(options['allProjects'] === true || common.project === 'default' ? {} : { project: common.project }),
        wait: options['wait'] === true,
        timeoutMs: (options['timeout'] as number) * 1000,
      });
    },
  )
    .option('-A, --all-projects', 'every project')
    .option('--where <selector>', 'label selector on clusters, such as env=prod')
    .option('--wait', 'wait until every delivery is what Git says')
    .option('--timeout <duration>', 'how long to wait', seconds, 300);

  ask(
    'tree <application> [cluster]',
    'the objects of an application on each cluster',
    async (plane, common, [name = '', cluster]) => {
      const { tree } = await import('./commands/tree.ts');
      return tree(plane, io, parseTarget(name, common.project), cluster, common.output);
    },
  );

  ask(
    'live <application> <cluster> <object>',
    'an object as the cluster holds it, and how it differs from Git: KIND/NAME (exit code 3 if it does)',
    async (plane, common, [name = '', cluster = '', object = '']) => {
      const { live } = await import('./commands/live.ts');
      return live(plane, io, parseTarget(name, common.project), cluster, object, common.output);
    },
  );

  ask(
    'diff <application>',
    'what a commit would change, per cluster, rendered (exit code 3 if anything)',
    async (plane, common, [name = ''], options) => {
      const { diff } = await import('./commands/diff.ts');
      const asked = {
        commit: options['commit'] as string | undefined,
        files: options['files'] as string[],
        refresh: options['refresh'] === true,
      };
      return diff(plane, io, parseTarget(name, common.project), asked, common.output);
    },
  )
    .option('--commit <ref>', 'branch or commit, or version of a chart; default: what the source is at now')
    .option(
      '--files <at=ref>',
      'branch or commit for a directory of spec.source.files, such as values=main; may be repeated',
      collect,
      [],
    )
    .option('--refresh', 'with dependencies and remote bases resolved anew, as reconcile --refresh would');

  ask(
    'why <target> [cluster]',
    'why an application, a delivery or a cluster is as it is (exit code 3 if not ready)',
    async (plane, common, [name = '', cluster]) => {
      const { why } = await import('./commands/why.ts');
      return why(plane, io, parseTarget(name, common.project), cluster, common.output);
    },
  );

  ask(
    'notes <application> [cluster]',
    'what the NOTES.txt of a chart says, on each cluster or one',
    async (plane, common, [name = '', cluster]) => {
      const { notes } = await import('./commands/notes.ts');
      return notes(plane, io, parseTarget(name, common.project), cluster, common.output);
    },
  );

  for (const [verb, description] of [
    ['suspend', 'make no new releases (application), do not read (gitrepo), assign nothing (cluster)'],
    ['resume', 'undo suspend'],
    ['reconcile', 'look again now; of an application at its source, too'],
  ] as const) {
    const command = ask(`${verb} <target>`, description, async (plane, common, [name = ''], options) => {
      const { reconcile, setSuspended } = await import('./commands/change.ts');
      const target = parseTarget(name, common.project);
      return verb === 'reconcile'
        ? reconcile(plane, io, target, options['refresh'] === true)
        : setSuspended(plane, io, target, verb === 'suspend');
    });
    if (verb === 'reconcile')
      command.option('--refresh', 'application: also resolve anew the dependencies and remote bases that are not locked');
  }

  return program;
}

function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}

/** `90`, `90s`, `15m`, `1h` as seconds. */
function seconds(text: string): number {
  const match = /^(\d+)(s|m|h)?$/.exec(text);
  if (match === null) throw new InvalidArgumentError('write a duration such as 90s, 15m or 1h');
  return Number(match[1]) * { s: 1, m: 60, h: 3600 }[(match[2] ?? 's') as 's' | 'm' | 'h'];
}
