import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { HttpResponse, RequestHead, ResponseStream } from './types.ts';

const compress = promisify(gzip);
/** As kube-apiserver: small answers are not worth it. */
const COMPRESS_FROM_BYTES = 128 * 1024;
const DRAINED_BYTES = 64 * 1024;
const DISCARD_BYTES = 64 * 1024;

/** Writes an answer. Resolves when it is handed to the network or the client is gone. */
export async function sendResponse(
  message: IncomingMessage,
  response: ServerResponse,
  head: RequestHead | undefined,
  answer: HttpResponse,
  gone: AbortSignal,
): Promise<void> {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  for (const [name, value] of Object.entries(answer.headers ?? {})) response.setHeader(name, value);
  response.statusCode = answer.status;
  if ('stream' in answer) {
    response.flushHeaders();
    try {
      await answer.stream(streamOf(response, gone));
    } finally {
      response.end();
    }
    return;
  }
  // A body nobody read: rather a new connection than to receive the rest of it. A small one is cheaper received (Node throws it
  // away by itself) than a handshake is: whoever is refused for overload comes back on the same connection.
  if (!message.complete && hasBody(message) && !isSmall(message)) response.setHeader('connection', 'close');
  let body = typeof answer.body === 'string' ? Buffer.from(answer.body) : (answer.body ?? Buffer.alloc(0));
  const takesGzip = /(^|[\s,])gzip\s*(,|$|;(?!\s*q=0(\.0*)?\s*(,|$)))/.test(message.headers['accept-encoding'] ?? '');
  if (body.length >= COMPRESS_FROM_BYTES && takesGzip && response.getHeader('content-encoding') === undefined) {
    body = await compress(body, { level: 1 });
    response.setHeader('content-encoding', 'gzip');
    response.appendHeader('vary', 'Accept-Encoding');
  }
  if (answer.status !== 304 && answer.status !== 204) response.setHeader('content-length', body.length);
  const isBodiless = head?.method === 'HEAD' || answer.status === 304 || answer.status === 204;
  await new Promise<void>((resolve) => {
    response.once('close', resolve);
    response.end(isBodiless ? undefined : body, () => resolve());
  });
}

function hasBody(message: IncomingMessage): boolean {
  return message.headers['transfer-encoding'] !== undefined || Number(message.headers['content-length'] ?? '0') > 0;
}

function isSmall(message: IncomingMessage): boolean {
  return message.headers['transfer-encoding'] === undefined && Number(message.headers['content-length']) <= DISCARD_BYTES;
}

function streamOf(response: ServerResponse, gone: AbortSignal): ResponseStream {
  return {
    closed: gone,
    get buffered() {
      return response.writableLength;
    },
    write(chunk) {
      if (!response.writableEnded && !response.destroyed) response.write(chunk);
    },
    drained() {
      if (response.writableLength <= DRAINED_BYTES || gone.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const done = (): void => {
          response.off('drain', done);
          response.off('close', done);
          gone.removeEventListener('abort', done);
          resolve();
        };
        response.on('drain', done);
        response.on('close', done);
        gone.addEventListener('abort', done, { once: true });
      });
    },
  };
}
