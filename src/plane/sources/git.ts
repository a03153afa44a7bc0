import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { exec, FairleadError, REDACTED, type ExecResult } from '#base';
import type { EgressGrant } from '#plane/fetch';
import { gitConfigText, prepareAuth, type GitAuth } from './git-auth.ts';
import { openPrivateFile } from './private-file.ts';

export interface GitOptions {
  /** An empty directory. */
  readonly home: string;
  /** Protocols git may speak: `https`, `https:http`, … */
  readonly protocols: string;
  /** PEM file of authorities for https, in place of the system's. */
  readonly caFile?: string;
  /** Where `git` is looked for; default the plane's PATH. */
  readonly path?: string;
}

export interface GitRun {
  readonly timeoutMs: number;
  readonly maxOutputBytes: number;
  readonly input?: string | Uint8Array;
  readonly auth?: GitAuth;
  /** The way out to the server of this run. */
  readonly egress?: EgressGrant;
  /** More configuration, as free of secrets as an argument. */
  readonly config?: readonly (readonly [string, string])[];
  /** More environment, as free of secrets as an argument. */
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** Largest single allocation git may make; a delta that claims to inflate to gigabytes dies of it. */
const ALLOCATION_LIMIT = '256m';

/**
 * Configuration that holds whatever a repository or a machine says. Passed by environment, so it is in no argument and no
 * file; the system's and the user's configuration are not read at all. What is secret comes in place of the user's.
 */
const fixedConfig: readonly (readonly [string, string])[] = [
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['core.attributesFile', '/dev/null'],
  // A blob above this is streamed, never held.
  ['core.bigFileThreshold', '16m'],
  ['core.deltaBaseCacheLimit', '32m'],
  ['credential.helper', ''],
  ['core.askPass', ''],
  ['gc.auto', '0'],
  ['maintenance.auto', 'false'],
  ['pack.threads', '1'],
  ['protocol.version', '2'],
  // Nothing but what was asked for, from nobody but who was asked.
  ['transfer.bundleURI', 'false'],
  ['fetch.uriProtocols', ''],
  ['protocol.ext.allow', 'never'],
  ['protocol.allow', 'never'],
  ['fetch.fsckObjects', 'true'],
  ['transfer.fsckObjects', 'true'],
  // Old and harmless: histories that every server still holds.
  ['fetch.fsck.zeroPaddedFilemode', 'warn'],
  ['fetch.fsck.missingSpaceBeforeDate', 'warn'],
  ['fetch.fsck.badTimezone', 'warn'],
  ['fetch.fsck.missingEmail', 'warn'],
  ['fetch.fsck.missingSpaceBeforeEmail', 'warn'],
  // Always a pack: loose objects would be inflated in memory, one by one.
  ['fetch.unpackLimit', '1'],
  ['transfer.unpackLimit', '1'],
  ['fetch.recurseSubmodules', 'false'],
  ['submodule.recurse', 'false'],
  ['http.followRedirects', 'false'],
  // The proxy is ours and knows no other way; asking first would double every request.
  ['http.proxyAuthMethod', 'basic'],
  ['http.lowSpeedLimit', '100'],
  ['http.lowSpeedTime', '30'],
  ['http.userAgent', 'fairlead'],
];

/** Runs `git` with an argument array in a fixed environment. A non-zero exit is a result; its words are free of secrets. */
export class Git {
  readonly #options: GitOptions;

  constructor(options: GitOptions) {
    this.#options = options;
  }

  async run(args: readonly string[], run: GitRun): Promise<ExecResult> {
    await using secrets = await prepareAuth(run.auth, run.egress, this.#options.home);
    await using config =
      secrets.config.length === 0 ? undefined : await openPrivateFile(this.#options.home, gitConfigText(secrets.config));
    const result = await exec('git', args, {
      env: {
        ...this.#env(run.config ?? []),
        ...(config === undefined ? {} : { GIT_CONFIG_GLOBAL: config.path }),
        ...secrets.env,
        ...run.env,
      },
      timeoutMs: run.timeoutMs,
      maxOutputBytes: run.maxOutputBytes,
      ...(run.input === undefined ? {} : { input: run.input }),
      ...(run.signal === undefined ? {} : { signal: run.signal }),
    });
    return { ...result, stderr: redact(result.stderr, run.auth) };
  }

  /** The same, where anything but exit code 0 is a defect. */
  async must(args: readonly string[], run: GitRun): Promise<Buffer> {
    const result = await this.run(args, run);
    if (result.exitCode !== 0) {
      throw new FairleadError(
        'FL_SOURCE_GIT',
        `git ${args.find((arg) => !arg.startsWith('-')) ?? ''} failed: ${result.stderr.trim().slice(-500)}`,
        {
          kind: 'internal',
          retryable: true,
        },
      );
    }
    return result.stdout;
  }

  /** A process that stays: its owner ends it. It ends by itself when this process does, because its input does. */
  open(args: readonly string[]): ChildProcessWithoutNullStreams {
    return spawn('git', args, { env: this.#env([]), stdio: ['pipe', 'pipe', 'pipe'] });
  }

  /** Goes into the environment, which other processes of this user can read: nothing secret. */
  #env(more: readonly (readonly [string, string])[]): Record<string, string> {
    const { home, protocols, caFile } = this.#options;
    const config: (readonly [string, string])[] = [...fixedConfig, ...more];
    if (caFile !== undefined) config.push(['http.sslCAInfo', caFile]);
    const env: Record<string, string> = {
      PATH: this.#options.path ?? process.env['PATH'] ?? '/usr/bin:/bin',
      HOME: home,
      XDG_CONFIG_HOME: home,
      LC_ALL: 'C',
      TZ: 'UTC',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_ATTR_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      GIT_ASKPASS: '',
      GIT_ALLOW_PROTOCOL: protocols,
      GIT_PROTOCOL_FROM_USER: '0',
      GIT_NO_REPLACE_OBJECTS: '1',
      GIT_NO_LAZY_FETCH: '1',
      GIT_LITERAL_PATHSPECS: '1',
      GIT_ALLOC_LIMIT: ALLOCATION_LIMIT,
      GIT_CONFIG_COUNT: String(config.length),
    };
    for (const [index, [key, value]] of config.entries()) {
      env[`GIT_CONFIG_KEY_${index}`] = key;
      env[`GIT_CONFIG_VALUE_${index}`] = value;
    }
    return env;
  }
}

function redact(text: string, auth: GitAuth | undefined): string {
  let out = text;
  for (const secret of auth?.secrets.reveal() ?? []) if (secret.length >= 4) out = out.replaceAll(secret, REDACTED);
  return out;
}
