import { request as httpsRequest } from 'node:https';
import { isObject, type JsonObject } from '../json.ts';
import type { TestKubeApi } from './start-kube-api.ts';

export interface WatchEvent {
  readonly type: string;
  readonly object: JsonObject;
}

export interface OpenWatch {
  readonly events: readonly WatchEvent[];
  readonly isEnded: boolean;
  /** Reads nothing more, so that the server's buffers fill. */
  pause(): void;
  close(): void;
}

/** Opens a watch on a connection of its own and collects its events. */
export function openWatch(
  plane: Pick<TestKubeApi, 'server' | 'caPem' | 'token'>,
  path: string,
  accept = 'application/json',
): Promise<OpenWatch> {
  return new Promise((resolve, reject) => {
    const events: WatchEvent[] = [];
    let ended = false;
    let rest = '';
    const request = httpsRequest(
      `${plane.server}${path}`,
      { ca: plane.caPem, agent: false, headers: { authorization: `Bearer ${plane.token}`, accept } },
      (response) => {
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          rest += chunk;
          const lines = rest.split('\n');
          rest = lines.pop() ?? '';
          for (const line of lines) {
            const parsed: unknown = JSON.parse(line);
            if (isObject(parsed)) events.push(parsed as unknown as WatchEvent);
          }
        });
        const end = (): void => void (ended = true);
        response.on('end', end).on('error', end).on('close', end);
        resolve({
          events,
          get isEnded() {
            return ended;
          },
          pause: () => void response.pause(),
          close: () => void request.destroy(),
        });
      },
    );
    request.on('error', (error) => (ended ? undefined : reject(error)));
    request.end();
  });
}
