import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MAX_ASKED_MS, retryDelay } from '#base';
import { retryAfterMs } from '../core/app.ts';
import { problemOf } from './plane-client.ts';

const headers = ['-1', '0', '', '1e99', '999999', '999999999', '99999999999999999999', 'NaN', 'Infinity', '0x10', ' 7 ', '7, 8'];
const dates = ['Wed, 21 Oct 2015 07:28:00 GMT', 'Fri, 31 Dec 9999 23:59:59 GMT'];
/** As it stands in the JSON text: 1e999 is read as Infinity. */
const numbers = ['-1', '-1e99', '0', '1e99', '1e999', '-1e999', '0.001', 'null', '"soon"', '"1e99"', '[5]', '{}', 'true'];

test('whatever an answer asks for, an agent neither falls silent nor asks without a pause', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(429, 500, 503),
      fc.option(fc.oneof(fc.constantFrom(...headers, ...dates), fc.string(), fc.nat().map(String)), { nil: undefined }),
      fc.option(fc.oneof(fc.constantFrom(...numbers), fc.double().map(String)), { nil: undefined }),
      fc.nat({ max: 60 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (status, retryAfter, asked, failures, random) => {
        const body = Buffer.from(asked === undefined ? '<html>' : `{"code":"FL_AGENT_BUSY","retryAfterMs":${asked}}`);
        const error = problemOf({ method: 'POST', path: '/agent/v1/sync' }, { status, date: undefined, retryAfter, body });
        const askedMs = error.retryAfterMs ?? 0;
        assert.ok(askedMs >= 0 && askedMs <= MAX_ASKED_MS, `believed ${askedMs}`);
        const waitMs = retryDelay(failures, askedMs, { baseMs: 500, maxMs: 30_000 }, () => random);
        assert.ok(waitMs >= Math.max(askedMs, askedMs > 0 ? 0 : 50) && waitMs <= 2 * MAX_ASKED_MS, `waits ${waitMs}`);
        // What holds up a step of an application, by the same words.
        const stepMs = retryAfterMs('soon', failures, random, error.retryAfterMs);
        assert.ok(stepMs >= Math.max(50, Math.floor(askedMs)) && stepMs <= 2 * MAX_ASKED_MS, `blocks for ${stepMs}`);
      },
    ),
    { numRuns: 2000 },
  );
});

test('the header counts where the body says nothing usable', () => {
  const asked = (retryAfter: string | undefined, body: string): number | undefined =>
    problemOf({ method: 'GET', path: '/' }, { status: 429, date: undefined, retryAfter, body: Buffer.from(body) }).retryAfterMs;
  assert.deepEqual(
    [
      asked('7', 'busy'),
      asked('7', '{"retryAfterMs":-5}'),
      asked('7', '{"retryAfterMs":250}'),
      asked('999999', ''),
      asked('-7', '{}'),
    ],
    [7000, 7000, 250, MAX_ASKED_MS, undefined],
  );
});
