import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { redactNotes } from './redact-notes.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const secret = (data: Readonly<Record<string, string>>): Uint8Array =>
  Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'web-password' }, type: 'Opaque', data }));

test('what a chart puts into a Secret is not in its notes, however it is written there', () => {
  const password = 'k3T9 w"x+Q/';
  const notes = [
    `password: ${password}`,
    `base64: ${base64(password)}`,
    `url: postgres://app:${encodeURIComponent(password)}@db:5432/app`,
    `json: ${JSON.stringify({ password })}`,
    'see the Secret web-password of type Opaque',
  ].join('\n');
  const redacted = redactNotes(notes, [secret({ password: base64(password) })]);
  assert.equal(
    redacted,
    'password: [redacted]\nbase64: [redacted]\nurl: postgres://app:[redacted]@db:5432/app\njson: {"password":"[redacted]"}\nsee the Secret web-password of type Opaque',
  );
});

test('a short value is taken as a word, one that keeps no secret is left, and a line break at its end changes nothing', () => {
  const bodies = [secret({ user: base64('admin\n'), replicas: base64('3'), on: base64('yes') })];
  assert.equal(
    redactNotes('1. Log in as admin, who is the administrator: yes, 3 of them', bodies),
    '1. Log in as [redacted], who is the administrator: yes, 3 of them',
  );
});

test('of a file in a Secret each line and what looks generated is taken, and not every word', () => {
  const file = 'server:\n  host: db.example.com\n  token: s3cr3tT0ken99\n';
  const bodies = [secret({ 'app.yaml': base64(file) })];
  assert.equal(
    redactNotes('The server is up. Use s3cr3tT0ken99 with\n  token: s3cr3tT0ken99\n', bodies),
    'The server is up. Use [redacted] with\n  [redacted]\n',
  );
});

test('of connection strings and files of settings the password itself is taken, whatever it is made of', () => {
  const bodies = [
    secret({
      url: base64('postgres://app:pw1234567@db.shop:5432/app'),
      mongo: base64('mongodb://root:p%40ss-word@mongo/'),
      '.env': base64('DB_PASSWORD=hunterhunter\nDB_HOST=db.shop\nexport API_TOKEN="letters only here"\n'),
      '.dockerconfigjson': base64('{"auths":{"reg.example":{"username":"bot","password":"onlyletters"}}}'),
      ado: base64('Server=db.shop;User Id=app;Password=plainwords;'),
    }),
  ];
  const notes = [
    'host db.shop and mongo, as app',
    ...['pw1234567', 'p%40ss-word', 'p@ss-word', 'hunterhunter', 'letters only here', 'onlyletters', 'plainwords'].map(
      (password) => `password: ${password}`,
    ),
  ];
  const redacted = redactNotes(notes.join('\n'), bodies);
  assert.equal(redacted, ['host db.shop and mongo, as app', ...Array(7).fill('password: [redacted]')].join('\n'));
});

test('another sensitive kind gives every string but its metadata; without secrets the notes stay as they are', () => {
  const other = Buffer.from(
    JSON.stringify({ apiVersion: 'x/v1', kind: 'Vault', metadata: { name: 'vault-name' }, spec: { key: 'abc-def-123' } }),
  );
  assert.equal(redactNotes('vault-name holds abc-def-123', [other]), 'vault-name holds [redacted]');
  assert.equal(redactNotes('abc-def-123', []), 'abc-def-123');
});

test('no value of four characters and more is ever left as a word', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ minLength: 4, maxLength: 30 }), { minLength: 1, maxLength: 5 }), (values) => {
      const trimmed = values.map((value) => value.trim()).filter((value) => value.length >= 4);
      const data = Object.fromEntries(trimmed.map((value, index) => [`k${index}`, base64(value)]));
      const redacted = redactNotes(trimmed.map((value) => `<${value}>`).join('\n'), [secret(data)]);
      for (const value of trimmed) {
        // The mark itself may hold a value such as "acted".
        assert.ok(!redacted.replaceAll('[redacted]', '').includes(`<${value}>`), `${value} in ${redacted}`);
      }
    }),
    { numRuns: 200 },
  );
});
