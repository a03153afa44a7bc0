import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LookRequest } from '#api';
import { FakeClock, jsonLog, waitFor } from '#base';
import { LookDesk, type LookDeskOptions } from './look-desk.ts';

const look: LookRequest = {
  id: 'one',
  project: 'shop',
  application: 'web',
  by: 'admin/ada',
  object: { group: '', version: 'v1', kind: 'ConfigMap', namespace: 'shop', name: 'settings' },
};

test('what is sent to the plane is in the log, whether or not the plane says that it arrived, and also when the agent stops', async () => {
  const lines: string[] = [];
  const stop = new AbortController();
  const sent = Promise.withResolvers<void>();
  const options: Partial<LookDeskOptions> = {
    isOn: false,
    clock: new FakeClock(),
    log: jsonLog({ write: (line) => void lines.push(line) }),
    signal: stop.signal,
  };
  const plane = {
    call: (): Promise<Buffer> => {
      sent.resolve();
      return new Promise((_, reject) =>
        stop.signal.addEventListener('abort', () => reject(new Error('stopped')), { once: true }),
      );
    },
  };
  // All of it that a look which is turned off uses.
  const desk = new LookDesk({ ...options, plane } as unknown as LookDeskOptions);
  desk.take([look]);
  await sent.promise;
  stop.abort();
  const line = await waitFor('a line', () => lines.find((one) => one.includes('was asked to show a live object')), {
    timeoutMs: 2_000,
  });
  assert.match(line, /"application":"shop\/web".*"by":"admin\/ada".*"answer":"off"/);
});
