import { FairleadError, sha256, type Clock } from '#base';
import { agentRefusals, keyIdOf, publicKeyObject, type Receipt } from '#api';
import type { Authenticator, HttpRequest } from '#plane/http';
import type { AgentDirectory } from './agent-directory.ts';
import { unknownAgent } from './agent-directory.ts';
import type { AgentsContext } from './context.ts';
import { detached, replaced } from './enrolment.ts';
import { ReplayCache } from './replay-cache.ts';
import { parseToken, verifyToken } from './request-token.ts';

export const RETURN_PATH = '/agent/v1/return';

/** Who an agent is, from the request token in `Authorization: Fairlead <jws>`. */
export class AgentAuthentication {
  readonly #context: AgentsContext;
  readonly #directory: AgentDirectory;
  readonly #clock: Clock;
  readonly #replays = new ReplayCache();

  constructor(context: AgentsContext, directory: AgentDirectory) {
    this.#context = context;
    this.#directory = directory;
    this.#clock = context.clock;
  }

  /** Errors: those of `verifyToken`, FL_AGENT_UNKNOWN, FL_AGENT_REPLACED, FL_AGENT_DETACHED, FL_AGENT_REPLAY. */
  readonly authenticate: Authenticator = async (head) => {
    const token = parseToken(head.headers.authorization);
    if (token === undefined) return undefined;
    // Signed by a key that only the receipt in the body names: checked there.
    if (head.path === RETURN_PATH) return { type: 'anonymous' };
    const cluster = token.claims.sub;
    const entry = await this.#directory.find(cluster);
    const { identity } = entry;
    if (identity === undefined) throw unknownAgent(cluster);
    if (identity.keyId !== token.kid) throw replaced(cluster);
    const nowMs = this.#clock.now();
    verifyToken(token, identity.key, { planeId: this.#context.keys.planeId, method: head.method, url: head.url, nowMs });
    if (identity.detached || !entry.clusterExists) throw detached(cluster);
    this.#replays.use(token.kid, token.claims.jti, nowMs);
    const { body, iat } = token.claims;
    return { type: 'agent', cluster, keyId: identity.keyId, expectBodyDigest: body, signedAtMs: iat * 1000 };
  };

  /** That a `return` request is signed by the key its receipt names. */
  checkReturn(request: HttpRequest, body: Uint8Array, receipt: Receipt): void {
    const token = parseToken(request.headers.authorization);
    if (token === undefined || token.kid !== keyIdOf(receipt.signingKey) || token.claims.sub !== receipt.cluster) {
      throw new FairleadError(agentRefusals.token, 'the request is not signed by the key that the receipt names', {
        kind: 'unauthenticated',
      });
    }
    const nowMs = this.#clock.now();
    verifyToken(token, publicKeyObject(receipt.signingKey), {
      planeId: this.#context.keys.planeId,
      method: request.method,
      url: request.url,
      nowMs,
    });
    if (sha256(body) !== token.claims.body) {
      throw new FairleadError(agentRefusals.token, 'the body is not the one the request token was made for', {
        kind: 'unauthenticated',
      });
    }
    this.#replays.use(token.kid, token.claims.jti, nowMs);
  }
}
