import type { IncomingMessage } from 'node:http';
import { FairleadError, sha256 } from '#base';

/** The whole body, or FL_HTTP_TOO_LARGE, FL_HTTP_BODY_DIGEST, FL_HTTP_BODY_CUT. */
export async function readBody(message: IncomingMessage, maxBytes: number, expectDigest: string | undefined): Promise<Buffer> {
  const announced = Number(message.headers['content-length'] ?? '0');
  if (announced > maxBytes) throw tooLarge(maxBytes);
  const encoding = message.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw new FairleadError('FL_HTTP_ENCODING', `send the body without content-encoding ${encoding}`, { kind: 'invalid' });
  }
  const body = await collect(message, maxBytes);
  if (expectDigest !== undefined && sha256(body) !== expectDigest) {
    throw new FairleadError('FL_HTTP_BODY_DIGEST', 'the body is not the one the request token was made for', {
      kind: 'unauthenticated',
    });
  }
  return body;
}

/** By events: leaving a `for await` early would destroy the socket that has to carry the answer. */
function collect(message: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const done = (error?: FairleadError): void => {
      message.off('data', onData).off('end', onEnd).off('error', onCut).off('close', onCut);
      if (error === undefined) resolve(Buffer.concat(chunks, bytes));
      else {
        message.pause();
        reject(error);
      }
    };
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > maxBytes) done(tooLarge(maxBytes));
      else chunks.push(chunk);
    };
    const onEnd = (): void => done();
    const onCut = (): void => done(new FairleadError('FL_HTTP_BODY_CUT', 'the body ended before its end', { kind: 'cancelled' }));
    message.on('data', onData).on('end', onEnd).on('error', onCut).on('close', onCut);
  });
}

function tooLarge(maxBytes: number): FairleadError {
  return new FairleadError('FL_HTTP_TOO_LARGE', `the body is larger than ${maxBytes} bytes`, { kind: 'too-large' });
}
