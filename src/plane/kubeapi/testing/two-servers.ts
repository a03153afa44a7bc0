import { request as httpsRequest } from 'node:https';
import type { ClusterHandle } from '#testbed';
import { isArray, isObject, stableJson, type Json, type JsonObject } from '../json.ts';
import type { TestKubeApi } from './start-kube-api.ts';

export interface Answer {
  readonly status: number;
  readonly body: JsonObject;
}

export type Server = (method: string, path: string, body?: Json, contentType?: string) => Promise<Answer>;

export function planeServer(plane: Pick<TestKubeApi, 'server' | 'caPem' | 'token'>): Server {
  return send(plane.server, plane.caPem, plane.token);
}

export function clusterServer(cluster: ClusterHandle): Server {
  return send(cluster.server, cluster.caPem, cluster.adminToken);
}

function send(server: string, ca: string, token: string): Server {
  return (method, path, body, contentType = 'application/json') =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const request = httpsRequest(
        `${server}${path}`,
        {
          method,
          ca,
          agent: false,
          timeout: 30_000,
          headers: {
            authorization: `Bearer ${token}`,
            accept: 'application/json',
            'user-agent': 'two-servers/1',
            ...(text === undefined ? {} : { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }),
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const parsed: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
            resolve({ status: response.statusCode ?? 0, body: isObject(parsed) ? parsed : {} });
          });
        },
      );
      request.on('timeout', () => request.destroy(new Error(`${method} ${path} timed out`)));
      request.on('error', reject);
      request.end(text);
    });
}

/** An object or Status without what two servers cannot have in common; history sorted, times reduced to being there. */
export function comparable(value: Json | undefined): Json {
  if (isArray(value)) return value.map(comparable);
  if (!isObject(value)) return value ?? null;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]): [string, Json][] => {
      if (item === undefined) return [];
      if (key === 'uid' && typeof item === 'string' && item.length > 10) return [[key, 'UID']];
      if (key === 'resourceVersion') return [[key, 'RV']];
      if (key === 'creationTimestamp' || key === 'time' || key === 'deletionTimestamp') return [[key, 'TIME']];
      if (key === 'managedFields' && isArray(item)) {
        return [[key, item.map(comparable).sort((a, b) => (stableJson(a) < stableJson(b) ? -1 : 1))]];
      }
      if (key === 'causes' && isArray(item)) {
        return [[key, item.map(comparable).sort((a, b) => (stableJson(a) < stableJson(b) ? -1 : 1))]];
      }
      return [[key, comparable(item)]];
    }),
  );
}
