import { FairleadError } from '#base';
import { KeysResponse, lookLimits } from '#api';
import { jsonResponse, type Handler, type Http, type HttpRequest, type HttpResponse, type Route } from '#plane/http';
import type { AgentAuthentication } from './authenticator.ts';
import { Budgets, type Verb } from './budgets.ts';
import { bundle, objects, Streams } from './content.ts';
import type { AgentsContext } from './context.ts';
import { checkCapability, join, openReceipt, takeBack } from './enrolment.ts';
import { openProof, recover } from './recover.ts';
import type { ReleaseCache } from './compose-inputs.ts';
import type { LookBook } from './look-book.ts';
import type { Reports } from './reports.ts';
import type { Syncs } from './sync.ts';
import { validate } from './validators.ts';

/** A desired state of a large cluster, as proof. */
const MAX_PROOF_BYTES = 8 * 1024 * 1024;
const MAX_REPORT_BYTES = 5 * 1024 * 1024;
const MAX_OBJECTS_BYTES = 512 * 1024;
/** With the list of what the cluster serves. */
const MAX_JOIN_BYTES = 1024 * 1024;

export interface AgentParts {
  readonly context: AgentsContext;
  readonly authentication: AgentAuthentication;
  readonly syncs: Syncs;
  readonly reports: Reports;
  readonly looks: LookBook;
  readonly releases: ReleaseCache;
  readonly budgets: Budgets;
}

/** `/agent/v1`: every route but `keys`, `join` and `return` speaks for the cluster of the request token and no other. */
export function addAgentRoutes(http: Pick<Http, 'route' | 'authenticate' | 'metrics'>, parts: AgentParts): void {
  const { context, authentication, syncs, reports, looks, releases, budgets } = parts;
  const { clock, keys, store } = context;
  const streams = new Streams();
  const objectCount = http.metrics.counter('fairlead_agent_objects_total', 'Objects sent to agents.');
  const objectBytes = http.metrics.counter('fairlead_agent_object_bytes_total', 'Bytes of objects sent to agents.');
  const onSent = (bytes: number): void => {
    objectCount.add({});
    objectBytes.add({}, bytes);
  };
  http.authenticate(authentication.authenticate);

  const spend = (verb: Verb, who: string): void => budgets.spend(verb, who, clock.now());
  const agentRoute = (
    verb: Verb,
    route: Pick<Route, 'method' | 'path' | 'maxBodyBytes'>,
    handler: (request: HttpRequest, cluster: string, signedAtMs: number) => Promise<HttpResponse>,
  ): void =>
    http.route({
      ...route,
      surface: 'agent',
      permission: { allow: 'agent' },
      handler: thawed(context, (request) => {
        const { principal } = request;
        // The route lets nobody else in; this keeps it true if that ever changes.
        if (principal.type !== 'agent') throw new FairleadError('FL_HTTP_FORBIDDEN', 'only agents come here', { kind: 'denied' });
        spend(verb, principal.cluster);
        return handler(request, principal.cluster, principal.signedAtMs ?? clock.now());
      }),
    });

  http.route({
    surface: 'agent',
    method: 'GET',
    path: '/agent/v1/keys',
    permission: { allow: 'public' },
    handler: () => jsonResponse(200, { keySet: keys.keySetEnvelope } satisfies KeysResponse),
  });

  http.route({
    surface: 'agent',
    method: 'POST',
    path: '/agent/v1/join',
    permission: { allow: 'public' },
    maxBodyBytes: MAX_JOIN_BYTES,
    handler: thawed(context, async (request) => {
      spend('join', request.remoteAddress);
      return answer(await join(context, validate.join.parse(await request.body())));
    }),
  });

  http.route({
    surface: 'agent',
    method: 'POST',
    path: '/agent/v1/return',
    permission: { allow: 'public' },
    maxBodyBytes: MAX_PROOF_BYTES,
    handler: thawed(context, async (request) => {
      spend('return', request.remoteAddress);
      const body = await request.body();
      const given = validate.return.parse(body);
      checkCapability(given.capability);
      const receipt = openReceipt(context, given.receipt);
      authentication.checkReturn(request, body, receipt);
      const proof = given.desired === undefined ? undefined : openProof(context, given.desired, receipt.cluster);
      const response = await takeBack(context, receipt, given, proof?.document);
      if (given.desired !== undefined) await recover(context, releases, receipt.cluster, given.desired);
      return answer(response);
    }),
  });

  agentRoute(
    'sync',
    { method: 'POST', path: '/agent/v1/sync', maxBodyBytes: MAX_PROOF_BYTES },
    async (request, cluster, signedAtMs) =>
      answer(await syncs.answer(cluster, validate.sync.parse(await request.body()), request, signedAtMs)),
  );
  agentRoute('bundles', { method: 'GET', path: '/agent/v1/bundles/:digest' }, (request, cluster) =>
    bundle(store, cluster, request.params['digest'] ?? ''),
  );
  agentRoute(
    'objects',
    { method: 'POST', path: '/agent/v1/objects', maxBodyBytes: MAX_OBJECTS_BYTES },
    async (request, cluster) =>
      objects(store, streams, cluster, validate.objects.parse(await request.body()).digests, request.signal, onSent),
  );
  agentRoute(
    'reports',
    { method: 'POST', path: '/agent/v1/reports', maxBodyBytes: MAX_REPORT_BYTES },
    async (request, cluster, signedAtMs) =>
      answer(await reports.take(cluster, validate.report.parse(await request.body()), signedAtMs)),
  );
  agentRoute(
    'looks',
    { method: 'POST', path: '/agent/v1/looks', maxBodyBytes: lookLimits.maxAnswerBytes },
    async (request, cluster) => {
      await looks.take(cluster, validate.look.parse(await request.body()));
      return answer({});
    },
  );
}

function answer(value: unknown): HttpResponse {
  return jsonResponse(200, value, { 'cache-control': 'private, no-store' });
}

/** While the plane is frozen it tells agents nothing and believes nothing; they go on by themselves. */
function thawed(context: AgentsContext, handler: Handler): Handler {
  return (request) => {
    if (context.frozen()) {
      throw new FairleadError(
        'FL_PLANE_FROZEN',
        'the plane is frozen: its database and its keys do not belong together; restore the matching database, or run fairlead plane adopt',
        { kind: 'unavailable', retryAfterMs: 30_000 },
      );
    }
    return handler(request);
  };
}
