import { X509Certificate } from 'node:crypto';
import { messageOf, type Clock, type Log, type Service } from '#base';
import type { Http } from '#plane/http';
import type { PlaneKeys } from '#plane/keys';

const CHECK_MS = 60_000;
/** Two small files: what a leaked key still signs is to end soon. */
const ROTATION_MS = 10_000;

export interface TlsRenewalParts {
  readonly keys: Pick<PlaneKeys, 'tls' | 'renewTls'>;
  readonly http: Pick<Http, 'renewTls' | 'metrics'>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Renews the certificate of the listeners while the plane runs, and takes over what another process renewed. Connections that
 * are open go on under the former one; a certificate that cannot be renewed stays in use, and it is tried again every minute.
 */
export function tlsRenewal({ keys, http, clock, log }: TlsRenewalParts): Service {
  const notAfterMs = (): number => Date.parse(new X509Certificate(keys.tls.cert).validTo);
  http.metrics.read(
    'fairlead_tls_certificate_not_after_seconds',
    'When the certificate of the API ends, in seconds since the epoch.',
    () => notAfterMs() / 1000,
  );
  let failure: string | undefined;
  return {
    id: 'tls-renewal',
    async run(signal) {
      while (!signal.aborted) {
        await clock.sleep(CHECK_MS, signal);
        try {
          if (await keys.renewTls()) {
            http.renewTls({ cert: keys.tls.cert, key: keys.tls.key.reveal() });
            log.info({ notAfter: new Date(notAfterMs()).toISOString() }, 'the certificate of the API was renewed');
          }
          failure = undefined;
        } catch (error) {
          const message = messageOf(error);
          if (message !== failure)
            log.error({ error, notAfter: new Date(notAfterMs()).toISOString() }, 'the certificate of the API cannot be renewed');
          failure = message;
        }
      }
    },
  };
}

/** Takes over a rotation of the signing key that another process, or a person with `fairlead plane rotate-key`, made. */
export function signingKeyWatch(keys: Pick<PlaneKeys, 'takeOverRotation' | 'keySet'>, clock: Clock, log: Log): Service {
  return {
    id: 'signing-key-watch',
    async run(signal) {
      while (!signal.aborted) {
        await clock.sleep(ROTATION_MS, signal);
        if (keys.takeOverRotation()) log.info({ keySet: keys.keySet.version }, 'the signing key was rotated');
      }
    },
  };
}
