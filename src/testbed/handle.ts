import { readFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { dirname, join } from 'node:path';
import { exec, FairleadError } from '#base';

/** What says everything about a running cluster to another process; a line of testbed.json. Holds the administrator's token. */
export interface ClusterRecord {
  readonly name: string;
  readonly server: string;
  readonly caFile: string;
  readonly adminToken: string;
  readonly kubeconfig: string;
  readonly auditLog: string;
}

export interface KubectlOptions {
  readonly input?: string;
  /** Added to KUBECONFIG, HOME and PATH; nothing else is inherited. */
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

export interface KubectlResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ApiResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
  /** The body parsed as JSON; throws a SyntaxError if it is none. */
  json(): unknown;
}

export interface ApiRequestOptions {
  /** A string is sent as it is, anything else as JSON. */
  readonly body?: unknown;
  /** Default application/json. */
  readonly contentType?: string;
  readonly accept?: string;
  /** Default: the administrator's. */
  readonly token?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** A running cluster as its user sees it. */
export interface ClusterHandle {
  readonly name: string;
  /** https://127.0.0.1:PORT */
  readonly server: string;
  readonly caFile: string;
  readonly caPem: string;
  /** A bearer token of group system:masters. */
  readonly adminToken: string;
  /** Path of a kubeconfig (mode 0600) for that token. */
  readonly kubeconfig: string;
  /** JSON lines, one per answered request that did not come from the control plane itself: who, what, when. */
  readonly auditLog: string;
  /** Path of stock kubectl of the control plane's version. */
  readonly kubectlProgram: string;
  /** Runs it as administrator. A non-zero exit is a result. */
  kubectl(args: readonly string[], options?: KubectlOptions): Promise<KubectlResult>;
  /** One request to the API server as administrator. Any HTTP status is a result; FL_TESTBED_REQUEST when there is none. */
  request(method: string, path: string, options?: ApiRequestOptions): Promise<ApiResponse>;
  /** Sends `manifests` (YAML or JSON) through `kubectl apply -f -`; throws FL_TESTBED_KUBECTL when it is refused. */
  apply(manifests: string, namespace?: string): Promise<void>;
}

const KUBECTL_OUTPUT_BYTES = 64 * 1024 * 1024;
const RESPONSE_BYTES = 64 * 1024 * 1024;

export function clusterHandle(record: ClusterRecord, program: string): ClusterHandle {
  const caPem = readFileSync(record.caFile, 'utf8');
  const kubectlProgram = join(dirname(program), 'kubectl');
  const kubectl = async (args: readonly string[], options: KubectlOptions = {}): Promise<KubectlResult> => {
    const result = await exec(kubectlProgram, args, {
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: dirname(record.kubeconfig),
        KUBECONFIG: record.kubeconfig,
        ...options.env,
      },
      timeoutMs: options.timeoutMs ?? 120_000,
      maxOutputBytes: KUBECTL_OUTPUT_BYTES,
      ...(options.input === undefined ? {} : { input: options.input }),
    });
    return { exitCode: result.exitCode, stdout: result.stdout.toString('utf8'), stderr: result.stderr };
  };
  return {
    ...record,
    caPem,
    kubectlProgram,
    kubectl,
    request: (method, path, options = {}) => send(record, caPem, method, path, options),
    async apply(manifests, namespace) {
      const where = namespace === undefined ? [] : ['--namespace', namespace];
      const result = await kubectl(['apply', ...where, '--filename', '-'], { input: manifests });
      if (result.exitCode === 0) return;
      throw new FairleadError(
        'FL_TESTBED_KUBECTL',
        `kubectl apply on cluster ${record.name} was refused: ${result.stderr.trim()}`,
        {
          kind: 'invalid',
        },
      );
    },
  };
}

function send(record: ClusterRecord, ca: string, method: string, path: string, options: ApiRequestOptions): Promise<ApiResponse> {
  return new Promise((resolve, reject) => {
    const failed = (why: string, cause?: unknown): void =>
      reject(
        new FairleadError('FL_TESTBED_REQUEST', `${method} ${path} on cluster ${record.name} got no answer: ${why}`, {
          kind: 'unavailable',
          cause,
        }),
      );
    const body = options.body === undefined || typeof options.body === 'string' ? options.body : JSON.stringify(options.body);
    const request = httpsRequest(`${record.server}${path}`, {
      method,
      ca,
      agent: false,
      timeout: options.timeoutMs ?? 30_000,
      headers: {
        authorization: `Bearer ${options.token ?? record.adminToken}`,
        accept: options.accept ?? 'application/json',
        'user-agent': 'fairlead-testbed',
        ...(body === undefined
          ? {}
          : { 'content-type': options.contentType ?? 'application/json', 'content-length': Buffer.byteLength(body) }),
      },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    request.on('timeout', () => request.destroy(new Error('it timed out')));
    request.on('error', (cause) => failed(cause.message, cause));
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > RESPONSE_BYTES) request.destroy(new Error(`the answer is larger than ${RESPONSE_BYTES} bytes`));
        else chunks.push(chunk);
      });
      response.on('error', (cause) => failed(cause.message, cause));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text,
          json: () => JSON.parse(text) as unknown,
        });
      });
    });
    request.end(body);
  });
}
