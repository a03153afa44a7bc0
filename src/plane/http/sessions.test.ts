import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '#base';
import { Sessions } from './sessions.ts';

const secret = Buffer.alloc(32, 1);
const clockAt = (now: () => number) => ({ ...systemClock, now });

test('a session is good over a restart and for every process with the same secret, and for no other', () => {
  const { token, session } = new Sessions(systemClock, secret).create('ada');
  assert.deepEqual(new Sessions(systemClock, secret).find(token), session);
  assert.equal(new Sessions(systemClock, Buffer.alloc(32, 2)).find(token), undefined);
});

test('what was not signed here opens nothing', () => {
  const sessions = new Sessions(systemClock, secret);
  const { token } = sessions.create('ada');
  const [payload = '', mac = ''] = token.split('.');
  const forged = Buffer.from(JSON.stringify({ id: 'x', name: 'root', expiresAtMs: 8e15 })).toString('base64url');
  const tokens = [
    '',
    '.',
    payload,
    `${forged}.${mac}`,
    `${payload}.`,
    `${payload}.${mac}.`,
    `${payload}.${mac}x`,
    'x'.repeat(5_000),
  ];
  for (const wrong of tokens) assert.equal(sessions.find(wrong), undefined, wrong.slice(0, 80));
});

test('a session ends after twelve hours, or when it is ended; the token beside it is its own', () => {
  let now = 1_000_000;
  const sessions = new Sessions(
    clockAt(() => now),
    secret,
  );
  const first = sessions.create('ada');
  const second = sessions.create('ada');
  assert.notEqual(first.session.csrf, second.session.csrf);
  sessions.end(first.token);
  sessions.end('nonsense');
  assert.equal(sessions.find(first.token), undefined);
  assert.equal(sessions.find(second.token)?.name, 'ada');
  now += 12 * 3_600_000;
  assert.equal(sessions.find(second.token), undefined);
});
