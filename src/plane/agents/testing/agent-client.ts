import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto';
import { Agent, request as httpsRequest } from 'node:https';
import { FairleadError, sha256 } from '#base';
import {
  CAPABILITY,
  open,
  payloadTypes,
  signerFromPem,
  signingKeys,
  stateDigestOf,
  reportDigest,
  openKeySet,
  rootHash,
  type DeliveryReport,
  type DesiredPosition,
  type DesiredState,
  type Envelope,
  type Head,
  type JoinResponse,
  type KeySet,
  type KeysResponse,
  type Problem,
  type ReportRequest,
  type ReportResponse,
  type ReturnRequest,
  type Signer,
  type SyncRequest,
  type SyncResponse,
} from '#api';

export interface AgentClientOptions {
  /** `https://127.0.0.1:8443` */
  readonly url: string;
  /** PEM of the plane's authority. */
  readonly ca: string;
  readonly kubeSystemUid?: string;
  readonly version?: string;
  /** An age recipient; agents that never unseal anything may share one. */
  readonly sealingKey?: string;
  readonly now?: () => number;
  /** A signing key to use instead of a new one. */
  readonly signer?: Signer;
  readonly maxSockets?: number;
  /** Address to call from: budgets for joining are per address. */
  readonly localAddress?: string;
}

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** What to change of a request before it is sent: for tests of what must be refused. */
export interface Tampering {
  /** Used instead of a fresh token. */
  readonly authorization?: string | undefined;
  readonly body?: Uint8Array;
  /** Sign as another cluster or by another key. */
  readonly as?: { readonly cluster?: string; readonly signer?: Signer };
  readonly path?: string;
  readonly signal?: AbortSignal;
  readonly onToken?: (authorization: string) => void;
}

/** An answer other than 2xx, with its problem. */
export class Refused extends FairleadError {
  readonly status: number;
  readonly problem: Problem;

  constructor(status: number, problem: Problem) {
    super(problem.code, `${status} ${problem.detail ?? problem.title}`, {
      kind: 'denied',
      ...(problem.retryAfterMs === undefined ? {} : { retryAfterMs: problem.retryAfterMs }),
    });
    this.status = status;
    this.problem = problem;
  }
}

/** Public; its identity was thrown away. */
const SEALING_KEY = 'age13ncznq8m43ak8uc8pugx7qq08jkx6hcus0u36k0zu97f0ru5cfwst0jzzy';

export function newSigner(): Signer {
  const { privateKey } = generateKeyPairSync('ed25519');
  return signerFromPem(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
}

/**
 * An agent of the real protocol without a cluster: joins, polls, fetches and reports over TLS with its own keys, and checks
 * every signature and digest. For tests and for simulated fleets; the agent that runs in clusters has its own.
 */
export class AgentClient {
  readonly signer: Signer;
  readonly boot = randomUUID();
  cluster = '';
  receipt: Envelope | undefined;
  keySet: KeySet | undefined;
  held: { readonly position: DesiredPosition; readonly document: DesiredState; readonly envelope: Envelope } | undefined;
  clockOffsetMs = 0;
  /** State lane: what the next report's digest is over. */
  readonly reports = new Map<string, DeliveryReport>();
  #number = 0;
  #needsFull = true;
  #proofWanted = false;
  readonly #options: AgentClientOptions;
  readonly #agent: Agent;

  constructor(options: AgentClientOptions) {
    this.#options = options;
    this.signer = options.signer ?? newSigner();
    this.#agent = new Agent({ keepAlive: true, ca: options.ca, maxSockets: options.maxSockets ?? 4 });
  }

  get kubeSystemUid(): string {
    return this.#options.kubeSystemUid ?? `uid-of-${this.signer.keyId}`;
  }

  /** Joins with `fl1.<id>.<secret>.<hash>`, checking the plane's key set before the secret is shown. */
  async join(token: string): Promise<JoinResponse> {
    const [, tokenId = '', secret = '', rootHash = ''] = token.split('.');
    const { keySet } = json(await this.send('GET', '/agent/v1/keys', undefined, { authorization: undefined })) as KeysResponse;
    this.keySet = openKeySet(keySet, rootHash);
    const request = {
      tokenId,
      secret,
      signingKey: this.signer.publicKey,
      sealingKey: this.#options.sealingKey ?? SEALING_KEY,
      kubeSystemUid: this.kubeSystemUid,
      capability: CAPABILITY,
      version: this.#options.version ?? '0.0.0-test',
      facts: { kubernetesVersion: 'v1.36.0' },
    };
    const response = json(await this.send('POST', '/agent/v1/join', request, { authorization: undefined })) as JoinResponse;
    this.cluster = response.cluster;
    this.receipt = response.receipt;
    return response;
  }

  /** Shows the receipt and what is held. */
  async comeBack(tampering: Tampering = {}): Promise<JoinResponse> {
    if (this.receipt === undefined) throw new FairleadError('FL_TEST', 'this agent has no receipt', { kind: 'invalid' });
    const request: ReturnRequest = {
      receipt: this.receipt,
      ...(this.held === undefined ? {} : { desired: this.held.envelope }),
      capability: CAPABILITY,
      version: this.#options.version ?? '0.0.0-test',
      facts: { kubernetesVersion: 'v1.36.0' },
    };
    return json(await this.send('POST', '/agent/v1/return', request, tampering)) as JoinResponse;
  }

  syncRequest(waitMs: number, changes: Partial<SyncRequest> = {}): SyncRequest {
    return {
      ...(this.held === undefined ? {} : { held: this.held.position }),
      nonce: randomUUID(),
      waitMs,
      keySetVersion: this.keySet?.version ?? 0,
      capability: CAPABILITY,
      version: this.#options.version ?? '0.0.0-test',
      boot: this.boot,
      ...(this.#proofWanted && this.held !== undefined ? { proof: this.held.envelope } : {}),
      ...changes,
    };
  }

  /**
   * One sync. A newer key set counts from here on; what is newer is checked and held (refused if it is not newer); a head is checked for the nonce. Whether the
   * plane wants a proof or the whole state lane is remembered for the next request.
   */
  async sync(waitMs = 0, tampering: Tampering = {}): Promise<SyncResponse> {
    const request = this.syncRequest(waitMs);
    const response = json(await this.send('POST', '/agent/v1/sync', request, tampering)) as SyncResponse;
    this.#proofWanted = response.need === 'held';
    if (response.resync === true) this.#needsFull = true;
    if (response.keySet !== undefined && this.keySet !== undefined)
      this.keySet = openKeySet(response.keySet, rootHash(this.keySet.root), this.keySet.version);
    if (response.head !== undefined) {
      const head = JSON.parse(open(response.head, payloadTypes.head, this.#keys()).toString('utf8')) as Head;
      if (head.nonce !== request.nonce || head.cluster !== this.cluster)
        throw new FairleadError('FL_TEST_HEAD', 'the head is not for this request', { kind: 'denied' });
      this.clockOffsetMs = head.time - this.#now();
    }
    if (response.desired !== undefined) this.#hold(response.desired);
    return response;
  }

  async bundle(digest: string, tampering: Tampering = {}): Promise<Buffer> {
    const { body } = await this.#ok(this.send('GET', `/agent/v1/bundles/${digest}`, undefined, tampering));
    if (sha256(body) !== digest) throw new FairleadError('FL_TEST_DIGEST', 'the bundle is another one', { kind: 'denied' });
    return body;
  }

  async objects(digests: readonly string[], tampering: Tampering = {}): Promise<ReadonlyMap<string, Buffer>> {
    const { body } = await this.#ok(this.send('POST', '/agent/v1/objects', { digests }, tampering));
    const found = new Map<string, Buffer>();
    let at = 0;
    while (at < body.length) {
      const end = body.indexOf(0x0a, at);
      const [digest = '', size = ''] = body.toString('utf8', at, end).split(' ');
      const bytes = body.subarray(end + 1, end + 1 + Number(size));
      if (`sha256:${createHash('sha256').update(bytes).digest('hex')}` !== digest)
        throw new FairleadError('FL_TEST_DIGEST', `object ${digest} is another one`, { kind: 'denied' });
      found.set(digest, bytes);
      at = end + 1 + Number(size);
    }
    return found;
  }

  /** Reports what changed, or everything when the plane asked for it. */
  async report(
    changed: readonly DeliveryReport[],
    rest: Partial<ReportRequest> = {},
    tampering: Tampering = {},
  ): Promise<ReportResponse> {
    for (const one of changed) this.reports.set(`${one.project}/${one.application}`, one);
    const full = this.#needsFull;
    this.#number += 1;
    const request: ReportRequest = {
      boot: this.boot,
      number: this.#number,
      ...(this.held === undefined ? {} : { held: this.held.position }),
      full,
      deliveries: full ? [...this.reports.values()] : [...changed],
      stateDigest: stateDigestOf(new Map([...this.reports].map(([key, one]) => [key, reportDigest(one)]))),
      retired: [],
      orphaned: [],
      events: [],
      gap: 0,
      agent: [],
      ...rest,
    };
    const response = json(await this.send('POST', '/agent/v1/reports', request, tampering)) as ReportResponse;
    this.#needsFull = response.resync;
    return response;
  }

  /** A report that an application of the held document is applied and healthy. */
  steady(project: string, name: string, changes: Partial<DeliveryReport> = {}): DeliveryReport {
    const wanted = this.held?.document.applications.find((one) => one.project === project && one.name === name);
    if (wanted === undefined) throw new FairleadError('FL_TEST', `${project}/${name} is not held`, { kind: 'invalid' });
    const at = new Date(this.#now() + this.clockOffsetMs).toISOString();
    return {
      project,
      application: name,
      release: wanted.release,
      number: wanted.number,
      bundle: wanted.bundle,
      phase: 'steady',
      applied: { release: wanted.release, bundle: wanted.bundle, at },
      health: 'healthy',
      objects: { total: 1, applied: 1, healthy: 1, failed: 0, drifted: 0 },
      problems: [],
      times: { fetchedAt: at, appliedAt: at, healthyAt: at },
      ...changes,
    };
  }

  token(method: string, path: string, body: Uint8Array, as: Tampering['as'] = {}): string {
    const signer = as.signer ?? this.signer;
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = {
      aud: this.keySet?.planeId ?? '',
      sub: as.cluster ?? this.cluster,
      method,
      path,
      body: sha256(body),
      iat: Math.floor((this.#now() + this.clockOffsetMs) / 1000),
      jti: randomUUID(),
    };
    const signed = `${part({ alg: 'EdDSA', kid: signer.keyId })}.${part(claims)}`;
    return `Fairlead ${signed}.${signer.sign(Buffer.from(signed)).toString('base64url')}`;
  }

  /** Any request, any answer. */
  send(method: 'GET' | 'POST', path: string, value: unknown, tampering: Tampering = {}): Promise<Answer> {
    const body = value === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(value));
    const authorization = 'authorization' in tampering ? tampering.authorization : this.token(method, path, body, tampering.as);
    if (authorization !== undefined) tampering.onToken?.(authorization);
    const sent = tampering.body ?? body;
    return new Promise((resolve, reject) => {
      const request = httpsRequest(
        new URL(tampering.path ?? path, this.#options.url),
        {
          method,
          agent: this.#agent,
          ...(this.#options.localAddress === undefined ? {} : { localAddress: this.#options.localAddress }),
          headers: {
            ...(authorization === undefined ? {} : { authorization }),
            ...(sent.length === 0 ? {} : { 'content-type': 'application/json', 'content-length': sent.length }),
          },
          ...(tampering.signal === undefined ? {} : { signal: tampering.signal }),
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks), headers: response.headers }),
          );
        },
      );
      request.on('error', reject);
      request.end(sent);
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  #hold(envelope: Envelope): void {
    const bytes = open(envelope, payloadTypes.desired, this.#keys());
    const document = JSON.parse(bytes.toString('utf8')) as DesiredState;
    const position = { epoch: document.epoch, seq: document.seq, digest: sha256(bytes) };
    const before = this.held?.position;
    const isNewer =
      before === undefined || position.epoch > before.epoch || (position.epoch === before.epoch && position.seq > before.seq);
    if (!isNewer || document.cluster !== this.cluster || document.kubeSystemUid !== this.kubeSystemUid)
      throw new FairleadError('FL_TEST_DOCUMENT', `refused ${position.epoch}.${position.seq} for ${document.cluster}`, {
        kind: 'denied',
      });
    this.held = { position, document, envelope };
  }

  #keys(): ReadonlyMap<string, string> {
    return this.keySet === undefined ? new Map() : signingKeys(this.keySet);
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }

  async #ok(sent: Promise<Answer>): Promise<Answer> {
    return ok(await sent);
  }
}

function ok(answer: Answer): Answer {
  if (answer.status >= 200 && answer.status < 300) return answer;
  let problem: Problem = { type: 'about:blank', title: '', status: answer.status, code: '' };
  try {
    problem = JSON.parse(answer.body.toString('utf8')) as Problem;
  } catch {
    // No problem document: the status says it.
  }
  throw new Refused(answer.status, problem);
}

/** The JSON of an answer that is one; the caller says of what shape, as the protocol has it. */
function json(answer: Answer): unknown {
  return JSON.parse(ok(answer).body.toString('utf8'));
}
