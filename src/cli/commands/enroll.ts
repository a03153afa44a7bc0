import { Cluster } from '#api';
import { FairleadError } from '#base';
import type { Plane } from '../connect.ts';
import { show, type Io, type OutputFormat } from '../output.ts';

export interface EnrollAnswer {
  readonly token: string;
  readonly expiresAt: string;
}

/** `fairlead enroll NAME [--label k=v]`: creates the Cluster if it is not there and prints a join token and what to do with it. */
export async function enroll(
  plane: Plane,
  io: Io,
  name: string,
  labels: readonly string[],
  ttlSeconds: number | undefined,
  output: OutputFormat,
): Promise<number> {
  const key = { namespace: '', name };
  const wanted = parseLabels(labels);
  const existing = await plane.get(Cluster, key);
  if (existing === undefined) {
    await plane.create(Cluster, { metadata: { name, labels: wanted }, spec: {} });
    io.err(`cluster/${name} created\n`);
  } else if (Object.keys(wanted).length > 0) await plane.patch(Cluster, key, { metadata: { labels: wanted } });
  const answer = await plane.subresource<EnrollAnswer>(Cluster, key, 'enroll', ttlSeconds === undefined ? {} : { ttlSeconds });
  show(io, output, {
    value: { cluster: name, ...answer },
    table: () => `${answer.token}\n`,
    names: () => [answer.token],
  });
  if (output === 'table') {
    io.err(
      `\nUse it once, before ${answer.expiresAt}, where ${name} can be reached:\n\n  fairlead agent --plane ${plane.server} --join ${answer.token} \\\n    --kubeconfig FILE --state-dir DIR\n`,
    );
  }
  return 0;
}

function parseLabels(labels: readonly string[]): Record<string, string> {
  const parsed: Record<string, string> = {};
  for (const label of labels) {
    const equals = label.indexOf('=');
    if (equals < 1) throw new FairleadError('FL_CLI_LABEL', `"${label}" is no label; write key=value`, { kind: 'invalid' });
    parsed[label.slice(0, equals)] = label.slice(equals + 1);
  }
  return parsed;
}
