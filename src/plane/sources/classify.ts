import { FairleadError, type ErrorKind } from '#base';
import type { ReasonCode } from '#api';
import { printable } from './text.ts';

/** Why a look failed: a reason's code and arguments. The message of the error is for logs; people read `say(reason)`. */
export function sourceError(code: ReasonCode, args: Readonly<Record<string, unknown>>, cause?: unknown): FairleadError {
  const kind: ErrorKind =
    code === 'FL_SOURCE_UNREACHABLE'
      ? 'unavailable'
      : code === 'FL_SOURCE_DENIED' || code === 'FL_SOURCE_HOST_KEY'
        ? 'denied'
        : code === 'FL_SOURCE_LIMIT'
          ? 'too-large'
          : 'invalid';
  return new FairleadError(code, `${code} ${JSON.stringify(args)}`, {
    kind,
    details: args,
    ...(cause === undefined ? {} : { cause }),
  });
}

export type GitFailure =
  | 'denied'
  | 'host-key'
  | 'no-ref'
  | 'refused'
  | 'stale-lock'
  | 'corrupt-mirror'
  | 'no-space'
  | 'unreachable';

/**
 * What git's standard error (LC_ALL=C) says about a failed fetch. Texts from git 2.31 to 2.51; what is not recognised counts
 * as unreachable and keeps its words. Pure.
 */
export function classifyFailure(stderr: string): GitFailure {
  // Lines of the server ("remote: …") are its own words and decide nothing; those of ssh tell what it does, not what fails.
  const own = stderr
    .split('\n')
    .filter((line) => !/^(remote|debug\d):/.test(line))
    .join('\n');
  if (/^Host key verification failed/m.test(own)) return 'host-key';
  if (/\.lock': File exists/.test(own)) return 'stale-lock';
  if (/No space left on device/i.test(own)) return 'no-space';
  if (
    /Authentication failed|Permission denied \(|Too many authentication failures|could not read (Username|Password)|requested URL returned error: 40[13]|HTTP 40[13]|terminal prompts disabled/.test(
      own,
    )
  )
    return 'denied';
  if (
    /couldn't find remote ref|not our ref|no such ref|bad object [0-9a-f]{40}$|remote error: upload-pack: not our ref/im.test(own)
  )
    return 'no-ref';
  if (
    /fsck error|index-pack failed.*fsck|hasDot|gitmodules|duplicateEntries|nullSha1|over limit|treeNotSorted|error in object|does not match index|invalid index-pack output|inflate|unresolved delta/i.test(
      own,
    )
  )
    return 'refused';
  if (
    /not a git repository: '|bad config|object file .* is empty|loose object .* is corrupt|packfile .* (cannot be accessed|does not match)|shallow file .* (changed|has)/i.test(
      own,
    )
  )
    return 'corrupt-mirror';
  return 'unreachable';
}

/**
 * git's words as a sentence part: the last telling line, without control characters, URLs' user information and numbers
 * that change from look to look; at most 300 characters.
 */
export function wordsOf(stderr: string): string {
  const lines = stderr
    .split(/[\n\r]/)
    .map((line) => printable(line, 16_384))
    .filter((line) => line !== '' && !/^(hint:|warning:|debug\d:|OpenSSH_)/i.test(line));
  const own = lines.filter((line) => /^(fatal|error|ssh):/i.test(line));
  if (own.some((line) => /returned error: 30[12378]/.test(line))) {
    return 'it redirects to another address, which is not followed; if it is the right one, write it into spec.url';
  }
  if (own.some((line) => /unadvertised object/.test(line)))
    return 'it gives no commit by its id; name a branch or tag that leads to it';
  if (own.some((line) => /shallow capabilities|does not support shallow/.test(line))) {
    return "it speaks only Git's old protocol of plain files, which is not supported; serve the repository by git http-backend or a Git host";
  }
  if (own.some((line) => /cannot run ssh/.test(line)))
    return 'the plane has no ssh program; install openssh-client where it runs';
  const telling =
    own.find((line) => /^ssh:|^ERROR:/.test(line)) ??
    own.find((line) => /fsck|hasDot|gitmodules|over limit|duplicate/i.test(line)) ??
    own[0] ??
    lines.at(-1) ??
    'git gave no reason';
  return telling
    .replace(/^(fatal|error|ssh):\s*/i, '')
    .replaceAll(/\/\/[^/@\s]+@/g, '//')
    .replaceAll(/ after \d+ ms/g, '')
    .replaceAll(/unable to access '[^']*':\s*/g, '')
    .slice(0, 300);
}

/** What ssh says of a host that it does not know, or knows otherwise. */
export function hostKeyOf(stderr: string): { readonly key: string; readonly finding: string } {
  const shown = /^debug1: Server host key: (\S{1,60}) (SHA256:[A-Za-z0-9+/=]{20,60})/m.exec(stderr);
  return {
    key: shown === null ? '(it was not shown)' : `${shown[1] ?? ''} ${shown[2] ?? ''}`,
    finding: /REMOTE HOST IDENTIFICATION HAS CHANGED/.test(stderr)
      ? 'lists another key for this host'
      : 'does not list this host',
  };
}
