import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { createServer, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { Encrypter } from 'age-encryption';
import {
  CAPABILITY,
  comparePositions,
  keyIdOf,
  payloadTypes,
  rootHash,
  seal,
  signerFromPem,
  signKeySet,
  type BundleEntry,
  type DeliveryReport,
  type DesiredApplication,
  type DesiredPosition,
  type DesiredState,
  type Envelope,
  type HookEntry,
  type JoinRequest,
  type KeySet,
  type LookAnswer,
  type LookOrder,
  type LookRequest,
  type ReportRequest,
  type RetireEntry,
  type ServedApis,
  type Signer,
  type SyncRequest,
} from '#api';
import { newUid, randomToken, sha256, waitFor } from '#base';
import { gvkOf, isSecretKind, stageOf, type KubeObject } from '#kube';
import { createPki } from '../../testbed/pki.ts';

/** An object as a test writes it. */
export type Manifest = Readonly<Record<string, unknown>> & { readonly apiVersion: string; readonly kind: string };

export interface AppOptions {
  readonly project?: string;
  readonly settings?: DesiredApplication['settings'];
  readonly limits?: Partial<DesiredApplication['limits']>;
  readonly serviceAccount?: string;
  readonly waiver?: DesiredApplication['waiver'];
  readonly nudge?: string;
  readonly uid?: string;
  readonly hooks?: readonly TestHook[];
  /** Names of objects that are only made where they are missing. */
  readonly createOnly?: readonly string[];
  /** Render-time scope; default: looked up in a short list, else unknown. */
  readonly scope?: 'unknown';
}

export interface TestHook {
  readonly manifest: Manifest;
  readonly events: HookEntry['events'];
  readonly weight?: number;
  readonly deletePolicies?: HookEntry['deletePolicies'];
  readonly timeoutSeconds?: number;
}

interface Agent {
  readonly cluster: string;
  readonly signingKey: string;
  readonly sealingKey: string;
  readonly kubeSystemUid: string;
}

const clusterScoped = new Set([
  'Namespace',
  'ClusterRole',
  'ClusterRoleBinding',
  'CustomResourceDefinition',
  'PersistentVolume',
  'ValidatingWebhookConfiguration',
  'MutatingWebhookConfiguration',
  'PriorityClass',
  'StorageClass',
]);

/**
 * A control plane for tests: it speaks the agent protocol over TLS, signs what it says, and remembers what it is told, so
 * that a test can say what should be and wait for what is.
 */
export class TestPlane implements AsyncDisposable {
  readonly planeId = newUid();
  readonly cluster: string;
  readonly root = newSigner();
  signer = newSigner();
  epoch = 1;
  seq = 0;
  deletionsPaused = false;
  crit: readonly string[] = [];
  /** What it answers to the next requests, for what goes wrong between agent and plane. */
  fault: ((path: string) => { readonly status: number; readonly code: string } | undefined) | undefined;
  /** Replaces the envelope that is offered, as an attacker would. */
  tamper: ((envelope: Envelope) => Envelope) | undefined;
  /** Answers `head`s as if frozen at this one. */
  frozenHead: Envelope | undefined;
  isUnknown = false;
  /** Answers of the agent to looks, in the order they came. */
  readonly looked: LookAnswer[] = [];
  /** Changes an order before it is signed (or signs it otherwise), as an attacker would. */
  tamperLooks: ((order: LookOrder) => Envelope) | undefined;
  readonly #looks: LookRequest[] = [];
  readonly tokens = new Map<string, { readonly secret: string; boundKey?: string }>();
  agent: Agent | undefined;
  readonly apps = new Map<string, DesiredApplication>();
  readonly retire: RetireEntry[] = [];
  readonly blobs = new Map<string, Buffer>();
  readonly bundles = new Map<string, Buffer>();
  readonly reports: ReportRequest[] = [];
  readonly deliveries = new Map<string, DeliveryReport>();
  readonly events: ReportRequest['events'] = [];
  readonly syncs: SyncRequest[] = [];
  readonly requests: string[] = [];
  returned = 0;
  /** Lists of served APIs that it holds, by digest; empty it, and it asks. */
  readonly apiLists = new Map<string, readonly string[]>();
  /** What the agent said last of the APIs its cluster serves. */
  apis: ServedApis | undefined;
  #server: Server | undefined;
  readonly #sockets = new Set<Duplex>();
  readonly #pki: Awaited<ReturnType<typeof createPki>>;
  readonly #held: (() => void)[] = [];
  #port = 0;
  #version = 1;
  readonly #number = new Map<string, number>();

  private constructor(cluster: string, pki: Awaited<ReturnType<typeof createPki>>) {
    this.cluster = cluster;
    this.#pki = pki;
  }

  static async start(cluster = `c-${newUid().slice(0, 8)}`): Promise<TestPlane> {
    const plane = new TestPlane(cluster, await createPki('plane', Date.now()));
    await plane.listen();
    return plane;
  }

  get url(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  get position(): DesiredPosition {
    return { epoch: this.epoch, seq: this.seq, digest: sha256(this.#payload) };
  }

  async listen(): Promise<void> {
    const server = createServer({ key: this.#pki.serverKey, cert: this.#pki.serverCert }, (request, response) => {
      void this.#serve(request, response).catch((error: unknown) => {
        if (!response.headersSent) response.writeHead(500).end(JSON.stringify({ code: 'FL_TEST', detail: String(error) }));
      });
    });
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Goes away, with every connection; `listen` brings it back at the same address. */
  async goAway(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    for (const wake of this.#held.splice(0)) wake();
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.goAway();
  }

  joinToken(): string {
    const id = randomToken(6);
    const secret = randomToken(24);
    this.tokens.set(id, { secret });
    return `fl1.${id}.${secret}.${rootHash(this.root.publicKey)}`;
  }

  keySet(): KeySet {
    return {
      planeId: this.planeId,
      version: this.#version,
      root: this.root.publicKey,
      keys: [{ id: this.signer.keyId, publicKey: this.signer.publicKey }],
      tlsAuthorities: [this.#pki.caCert],
      issuedAt: new Date().toISOString(),
    };
  }

  /** A new signing key in a new key set. */
  rotateKeys(): void {
    this.signer = newSigner();
    this.#version += 1;
    this.publish();
  }

  /** What an application should hold from now on; signed with `publish`. */
  async setApp(name: string, manifests: readonly Manifest[], options: AppOptions = {}): Promise<DesiredApplication> {
    const entries: BundleEntry[] = [];
    for (const manifest of manifests) entries.push(await this.#entry(manifest, options));
    const hooks: HookEntry[] = [];
    for (const { manifest, events, weight = 0, deletePolicies = [], timeoutSeconds = 300 } of options.hooks ?? [])
      hooks.push({ ...(await this.#entry(manifest, options)), events, weight, deletePolicies, timeoutSeconds });
    hooks.sort((a, b) => a.weight - b.weight);
    const bytes = Buffer.from(JSON.stringify({ version: 1, entries, ...(hooks.length === 0 ? {} : { hooks }) }));
    const digest = sha256(bytes);
    this.bundles.set(digest, bytes);
    const number = (this.#number.get(name) ?? 0) + 1;
    this.#number.set(name, number);
    const app: DesiredApplication = {
      project: options.project ?? 'default',
      name,
      uid: options.uid ?? this.apps.get(name)?.uid ?? newUid(),
      release: `${name}-${number}`,
      number,
      commit: sha256(`${name}${number}`).slice(7, 47),
      bundle: digest,
      settings: options.settings ?? {},
      limits: {
        namespaces: ['*'],
        clusterKinds: [{ group: '*', kind: '*' }],
        deniedKinds: [],
        maxDeletions: 10,
        maxDeletionPercent: 20,
        ...options.limits,
      },
      ...(options.serviceAccount === undefined ? {} : { serviceAccount: options.serviceAccount }),
      ...(options.waiver === undefined ? {} : { waiver: options.waiver }),
      ...(options.nudge === undefined ? {} : { nudge: options.nudge }),
    };
    this.apps.set(name, app);
    return app;
  }

  /** `setApp` and `publish`. */
  async deliver(name: string, manifests: readonly Manifest[], options: AppOptions = {}): Promise<DesiredApplication> {
    const app = await this.setApp(name, manifests, options);
    this.publish();
    return app;
  }

  /** Signs a new document and wakes who waits for one. */
  publish(): void {
    this.seq += 1;
    for (const wake of this.#held.splice(0)) wake();
  }

  document(): DesiredState {
    return {
      planeId: this.planeId,
      cluster: this.cluster,
      kubeSystemUid: this.agent?.kubeSystemUid ?? '',
      epoch: this.epoch,
      seq: this.seq,
      keySetVersion: this.#version,
      crit: [...this.crit],
      issuedAt: '2026-01-01T00:00:00Z',
      labels: {},
      deletionsPaused: this.deletionsPaused,
      applications: [...this.apps.values()],
      retire: this.retire,
      approvals: [],
    };
  }

  /** Asks to be shown an object and waits for what the agent answers. */
  async look(application: string, object: LookRequest['object'], timeoutMs = 10_000): Promise<LookAnswer> {
    const id = newUid();
    this.#looks.push({ id, project: 'default', application, object, by: 'admin/test' });
    for (const wake of this.#held.splice(0)) wake();
    return waitFor('the agent to answer a look', () => this.looked.find((one) => one.id === id), { timeoutMs, intervalMs: 5 });
  }

  /** What is signed for the sync of this nonce. */
  #order(nonce: string): { readonly looks?: Envelope } {
    if (this.#looks.length === 0) return {};
    const order: LookOrder = { planeId: this.planeId, cluster: this.cluster, nonce, looks: this.#looks.splice(0) };
    return { looks: this.tamperLooks?.(order) ?? this.sealOrder(order) };
  }

  sealOrder(order: LookOrder, signer: Signer = this.signer): Envelope {
    return seal(payloadTypes.looks, Buffer.from(JSON.stringify(order)), [signer]);
  }

  get #payload(): Buffer {
    return Buffer.from(JSON.stringify(this.document()));
  }

  envelope(): Envelope {
    return seal(payloadTypes.desired, this.#payload, [this.signer]);
  }

  delivery(name: string): DeliveryReport | undefined {
    return [...this.deliveries.values()].find((one) => one.application === name);
  }

  /** Waits until the agent reports what `is` asks for. */
  async until(name: string, what: string, is: (report: DeliveryReport) => boolean, timeoutMs = 20_000): Promise<DeliveryReport> {
    try {
      return await waitFor(
        `${name} to be ${what}`,
        () => {
          const report = this.delivery(name);
          return report !== undefined && is(report) ? report : undefined;
        },
        { timeoutMs, intervalMs: 10 },
      );
    } catch (error) {
      throw new Error(
        `${String(error)}; last report: ${JSON.stringify(this.delivery(name), undefined, 1)}; agent: ${JSON.stringify(this.reports.at(-1)?.agent)}`,
      );
    }
  }

  /** Waits until the wanted release is applied and healthy. */
  untilReady(name: string, timeoutMs = 20_000): Promise<DeliveryReport> {
    return this.until(name, 'applied and healthy', (report) => this.isReady(name, report), timeoutMs);
  }

  isReady(name: string, report = this.delivery(name)): boolean {
    const wanted = this.apps.get(name);
    return (
      report?.release === wanted?.release &&
      report?.applied?.release === wanted?.release &&
      report?.applied?.bundle === wanted?.bundle &&
      report?.health === 'healthy'
    );
  }

  async #entry(manifest: Manifest, options: AppOptions): Promise<BundleEntry> {
    const object = manifest as unknown as KubeObject;
    const { group, version, kind } = gvkOf(object);
    const clear = Buffer.from(JSON.stringify(manifest));
    const isSecret = isSecretKind({ group, kind });
    const recipient = this.agent?.sealingKey;
    let bytes: Buffer = clear;
    if (isSecret && recipient !== undefined) {
      const encrypter = new Encrypter();
      encrypter.addRecipient(recipient);
      bytes = Buffer.from(await encrypter.encrypt(clear));
    }
    const digest = sha256(bytes);
    this.blobs.set(digest, bytes);
    const annotations = object.metadata.annotations ?? {};
    const known = clusterScoped.has(kind)
      ? ('Cluster' as const)
      : group.includes('.') && !group.endsWith('.k8s.io')
        ? ('unknown' as const)
        : ('Namespaced' as const);
    return {
      id: { group, version, kind, namespace: object.metadata.namespace ?? '', name: object.metadata.name ?? '' },
      digest,
      size: bytes.length,
      stage: stageOf({ group, kind }),
      wave: Number(annotations['fairlead.dev/wave'] ?? 0),
      scope: options.scope ?? known,
      ...(bytes === clear ? {} : { sealed: sha256(clear) }),
      source: { file: 'app.yaml', line: 1 },
      ...(annotations['helm.sh/resource-policy'] === 'keep' ? { keep: true } : {}),
      ...(options.createOnly?.includes(object.metadata.name) === true ? { createOnly: true } : {}),
    };
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const path = request.url ?? '';
    this.requests.push(`${request.method} ${path}`);
    const json = (status: number, value: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    };
    const problem = (status: number, code: string): void => json(status, { type: 'about:blank', title: code, status, code });
    const fault = this.fault?.(path);
    if (fault !== undefined) return problem(fault.status, fault.code);
    if (path === '/agent/v1/keys') return json(200, { keySet: signKeySet(this.keySet(), this.root) });
    if (path === '/agent/v1/join') return this.#join(JSON.parse(body.toString('utf8')) as JoinRequest, json, problem);
    if (this.agent === undefined || !this.#isAuthentic(request, body)) return problem(401, 'FL_AGENT_TOKEN');
    if (path === '/agent/v1/return') {
      this.returned += 1;
      this.isUnknown = false;
      return json(200, {});
    }
    if (this.isUnknown) return problem(404, 'FL_AGENT_UNKNOWN');
    if (path === '/agent/v1/sync') return this.#sync(JSON.parse(body.toString('utf8')) as SyncRequest, request, json);
    if (path === '/agent/v1/reports') return this.#report(JSON.parse(body.toString('utf8')) as ReportRequest, json);
    if (path === '/agent/v1/looks') {
      this.looked.push(JSON.parse(body.toString('utf8')) as LookAnswer);
      return json(200, {});
    }
    if (path === '/agent/v1/objects') {
      const { digests } = JSON.parse(body.toString('utf8')) as { digests: string[] };
      response.writeHead(200);
      for (const digest of digests) {
        const bytes = this.blobs.get(digest);
        if (bytes !== undefined) response.write(Buffer.concat([Buffer.from(`${digest} ${bytes.length}\n`), bytes]));
      }
      response.end();
      return;
    }
    const bundle = this.bundles.get(path.replace('/agent/v1/bundles/', ''));
    if (bundle === undefined) return problem(404, 'FL_CONTENT_UNKNOWN');
    response.writeHead(200).end(bundle);
  }

  #join(
    join: JoinRequest,
    json: (status: number, value: unknown) => void,
    problem: (status: number, code: string) => void,
  ): void {
    const token = this.tokens.get(join.tokenId);
    if (token === undefined || token.secret !== join.secret) return problem(403, 'FL_JOIN_TOKEN_UNKNOWN');
    if (token.boundKey !== undefined && token.boundKey !== join.signingKey) return problem(403, 'FL_JOIN_TOKEN_USED');
    token.boundKey = join.signingKey;
    this.#takeApis(join.apis);
    this.agent = {
      cluster: this.cluster,
      signingKey: join.signingKey,
      sealingKey: join.sealingKey,
      kubeSystemUid: join.kubeSystemUid,
    };
    const receipt = {
      planeId: this.planeId,
      cluster: this.cluster,
      signingKey: join.signingKey,
      sealingKey: join.sealingKey,
      kubeSystemUid: join.kubeSystemUid,
      joinedAt: new Date().toISOString(),
    };
    json(200, {
      cluster: this.cluster,
      receipt: seal(payloadTypes.receipt, Buffer.from(JSON.stringify(receipt)), [this.signer]),
      keySet: signKeySet(this.keySet(), this.root),
      capability: CAPABILITY,
    });
  }

  async #sync(sync: SyncRequest, request: IncomingMessage, json: (status: number, value: unknown) => void): Promise<void> {
    this.syncs.push(sync);
    const keySet = sync.keySetVersion < this.#version ? { keySet: signKeySet(this.keySet(), this.root) } : {};
    const hasNews = (): boolean =>
      this.seq > 0 && (sync.held === undefined || comparePositions(sync.held, this.position) < 0 || this.tamper !== undefined);
    if (!hasNews() && this.#looks.length === 0 && sync.waitMs > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, sync.waitMs);
        const wake = (): void => {
          clearTimeout(timer);
          resolve();
        };
        this.#held.push(wake);
        request.socket.setMaxListeners(0);
        request.socket.once('close', wake);
      });
    }
    if (hasNews()) {
      const envelope = this.envelope();
      return json(200, {
        desired: this.tamper === undefined ? envelope : this.tamper(envelope),
        ...keySet,
        ...this.#order(sync.nonce),
      });
    }
    const head = {
      planeId: this.planeId,
      cluster: this.cluster,
      position: sync.held ?? this.position,
      nonce: sync.nonce,
      time: Date.now(),
    };
    json(200, {
      head: this.frozenHead ?? seal(payloadTypes.head, Buffer.from(JSON.stringify(head)), [this.signer]),
      ...keySet,
      ...this.#order(sync.nonce),
    });
  }

  #report(report: ReportRequest, json: (status: number, value: unknown) => void): void {
    this.reports.push(report);
    if (report.full) this.deliveries.clear();
    for (const delivery of report.deliveries) this.deliveries.set(`${delivery.project}/${delivery.application}`, delivery);
    for (const event of report.events) if (!this.events.some((known) => known.id === event.id)) this.events.push(event);
    json(200, { resync: false, ...(this.#takeApis(report.apis) ? {} : { needsApis: true }) });
  }

  #takeApis(apis: ServedApis | undefined): boolean {
    if (apis === undefined) return true;
    if (apis.list !== undefined) this.apiLists.set(apis.digest, apis.list);
    // Until the list is there, what was known before counts, as on a real plane.
    const isKnown = this.apiLists.has(apis.digest);
    if (isKnown) this.apis = apis;
    return isKnown;
  }

  /** What it knows that the cluster serves. */
  get served(): readonly string[] {
    return this.apiLists.get(this.apis?.digest ?? '') ?? [];
  }

  /** Checks the request token as the protocol says. */
  #isAuthentic(request: IncomingMessage, body: Buffer): boolean {
    const match = /^Fairlead ([\w-]+)\.([\w-]+)\.([\w-]+)$/.exec(request.headers.authorization ?? '');
    const agent = this.agent;
    if (match === null || agent === undefined) return false;
    const [, header = '', payload = '', signature = ''] = match;
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as Record<string, unknown>;
    const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString('utf8')) as { kid: string };
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: agent.signingKey }, format: 'jwk' });
    return (
      kid === keyIdOf(agent.signingKey) &&
      verify(null, Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url')) &&
      claims['aud'] === this.planeId &&
      claims['sub'] === this.cluster &&
      claims['method'] === request.method &&
      claims['path'] === request.url &&
      claims['body'] === sha256(body) &&
      Math.abs(Number(claims['iat']) - Date.now() / 1000) < 60
    );
  }
}

function newSigner(): Signer {
  const { privateKey } = generateKeyPairSync('ed25519');
  return signerFromPem(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
}
