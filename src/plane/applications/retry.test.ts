import assert from 'node:assert/strict';
import { test } from 'node:test';
import { areaOf, reasons, type ReasonCode } from '#api';
import { retryAfterMs } from './retry.ts';

/** Reasons of the source area that are not repeated, and what wakes the look instead. */
const wokenBy: Partial<Readonly<Record<ReasonCode, string>>> = {
  FL_SOURCE_PENDING: 'the status of the source',
  FL_SOURCE_MISSING: 'the creation of the source',
  FL_SOURCE_SUSPENDED: 'the status of the source',
  FL_SOURCE_FORBIDDEN: 'an edit of the Project',
  FL_SOURCE_FILES_TAKEN: 'a commit, or an edit of the Application',
  FL_SOURCE_FILE: 'a commit, or a refresh where it is elsewhere',
  FL_SOURCE_LIMIT: 'a commit, or a refresh where it is elsewhere',
  FL_SOURCE_URL: 'an edit of what names the URL',
};

test('every reason of a source is either tried again by itself or woken by something', () => {
  // Keys of the catalogue are its codes.
  const codes = (Object.keys(reasons) as ReasonCode[]).filter((code) => areaOf(code) === 'source');
  assert.ok(codes.length > 15);
  for (const code of codes) {
    const isRetried = retryAfterMs(code) !== undefined;
    assert.equal(isRetried, !(code in wokenBy), `${code} is ${isRetried ? 'retried, and woken' : 'neither retried nor woken'}`);
  }
});

test('a server that is away is asked soon, one that said no after minutes, a render that failed by its input never', () => {
  assert.equal(retryAfterMs('FL_SOURCE_UNREACHABLE'), 30_000);
  for (const code of [
    'FL_SOURCE_DENIED',
    'FL_SOURCE_NO_CHART',
    'FL_SOURCE_NO_REF',
    'FL_SOURCE_MOVED',
    'FL_SOURCE_REFUSED',
  ] as const)
    assert.equal(retryAfterMs(code), 300_000, code);
  for (const code of ['FL_RENDER_FAILED', 'FL_RENDER_REFUSED', 'FL_RENDER_REMOTE', 'FL_RENDER_LIMIT'] as const)
    assert.equal(retryAfterMs(code), undefined, code);
  assert.equal(retryAfterMs('FL_RENDER_UNAVAILABLE'), 5_000);
});
