import { Cluster } from '#api';
import { FairleadError } from '#base';
import { formatYaml } from '#kube';
import type { ProfileOptions } from '#agent';
import type { Plane } from '../connect.ts';
import { show, type Io, type OutputFormat } from '../output.ts';

export interface EnrollAnswer {
  readonly token: string;
  readonly expiresAt: string;
}

export interface EnrollOptions {
  readonly labels: readonly string[];
  readonly ttlSeconds: number | undefined;
  readonly output: OutputFormat;
  /** Print what runs the agent instead of the token. */
  readonly manifests?: { readonly image: string | undefined; readonly profile: string | undefined };
  /** The agent's own namespace in the cluster. */
  readonly agentNamespace: string;
  /** As the cluster reaches the plane. Default: as we do. */
  readonly planeUrl: string | undefined;
}

/**
 * `fairlead enroll NAME`: creates the Cluster if it is not there and prints a join token and what to do with it, or with
 * `--manifests` what `kubectl apply -f -` makes an agent of.
 */
export async function enroll(plane: Plane, io: Io, name: string, options: EnrollOptions): Promise<number> {
  const { output, agentNamespace } = options;
  const planeUrl = options.planeUrl ?? plane.server;
  const wanted = parseLabels(options.labels);
  // What is wrong with the arguments is said before anything is created.
  const run =
    options.manifests === undefined
      ? undefined
      : { image: imageOf(options.manifests.image), grant: parseProfile(options.manifests.profile) };

  const key = { namespace: '', name };
  const existing = await plane.get(Cluster, key);
  if (existing === undefined) {
    await plane.create(Cluster, { metadata: { name, labels: wanted }, spec: {} });
    io.err(`cluster/${name} created\n`);
  } else if (Object.keys(wanted).length > 0) await plane.patch(Cluster, key, { metadata: { labels: wanted } });
  const { ttlSeconds } = options;
  const answer = await plane.subresource<EnrollAnswer>(Cluster, key, 'enroll', ttlSeconds === undefined ? {} : { ttlSeconds });

  if (run !== undefined) {
    const { agentManifests } = await import('#agent');
    const manifests = agentManifests({ ...run, namespace: agentNamespace, planeUrl, joinToken: answer.token });
    io.out(manifests.map((manifest) => formatYaml(manifest)).join('---\n'));
    io.err(`\nApply this to ${name} before ${answer.expiresAt}; it holds the join token, which works once.\n`);
    return 0;
  }
  show(io, output, {
    value: { cluster: name, ...answer },
    table: () => `${answer.token}\n`,
    names: () => [answer.token],
  });
  if (output === 'table') io.err(nextSteps(name, answer, planeUrl, agentNamespace));
  return 0;
}

function nextSteps(name: string, answer: EnrollAnswer, planeUrl: string, agentNamespace: string): string {
  const isLoopback = /^https:\/\/(127\.|localhost|\[::1\])/.test(planeUrl);
  return [
    '',
    `Use it once, before ${answer.expiresAt}. In ${name}, with Helm (choose the image and what the agent may do):`,
    '',
    `  kubectl create namespace ${agentNamespace}`,
    `  echo ${answer.token} |`,
    `    kubectl -n ${agentNamespace} create secret generic fairlead-join --from-file=token=/dev/stdin`,
    `  helm install fairlead-agent charts/fairlead-agent -n ${agentNamespace} --set plane.url=${planeUrl} \\`,
    "    --set joinToken.existingSecret=fairlead-join --set image.repository=IMAGE --set 'profile.namespaces={NAMESPACE}'",
    '',
    'without Helm:',
    '',
    `  fairlead enroll ${name} --manifests --image IMAGE --profile namespaces=NAMESPACE | kubectl apply -f -`,
    '',
    `or from anywhere that reaches the API server of ${name}:`,
    '',
    `  FAIRLEAD_JOIN_TOKEN=${answer.token} \\`,
    `    fairlead agent --plane ${planeUrl} --kubeconfig FILE --state-dir DIR`,
    ...(isLoopback ? ['', `${planeUrl} is this machine's own address: give --plane-url where the cluster is elsewhere.`] : []),
    '',
  ].join('\n');
}

function imageOf(image: string | undefined): string {
  if (image !== undefined && image !== '') return image;
  throw new FairleadError(
    'FL_CLI_IMAGE',
    '--manifests needs --image: build charts/fairlead-agent/Containerfile, push it, and say where it is, such as registry.example/fairlead-agent:0.1.0',
    { kind: 'invalid' },
  );
}

/** `namespaces=a,b`, `cluster-role=NAME` or `admin`. */
function parseProfile(text: string | undefined): ProfileOptions['grant'] {
  const [kind = '', value = ''] = (text ?? '').split('=', 2);
  const namespaces = value.split(',').filter((one) => one !== '');
  if (kind === 'admin' && value === '') return { kind: 'admin' };
  if (kind === 'namespaces' && namespaces.length > 0) return { kind: 'namespaces', namespaces };
  if (kind === 'cluster-role' && value !== '') return { kind: 'clusterRole', name: value };
  throw new FairleadError(
    'FL_CLI_PROFILE',
    `${text === undefined ? '--manifests needs --profile, which says what the agent may do' : `"${text}" is no profile`}; write namespaces=a,b, cluster-role=NAME or admin`,
    { kind: 'invalid' },
  );
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
