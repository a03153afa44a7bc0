import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SHARED_TESTBED_VARIABLE, sharedCluster } from './shared.ts';

test('a testbed that is named and not there is an error, not a new testbed', async () => {
  const before = process.env[SHARED_TESTBED_VARIABLE];
  process.env[SHARED_TESTBED_VARIABLE] = '/nonexistent/testbed.json';
  try {
    await assert.rejects(sharedCluster('a'), { code: 'FL_TESTBED_GONE' });
  } finally {
    if (before === undefined) delete process.env[SHARED_TESTBED_VARIABLE];
    else process.env[SHARED_TESTBED_VARIABLE] = before;
  }
});
