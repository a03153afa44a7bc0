import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { test } from 'node:test';
import { codeOf, messageOf } from '#base';
import { parseDatabaseUrl } from './connect-options.ts';

test('a database URL says where and as whom, and shows no password', () => {
  const address = parseDatabaseUrl('postgres://fairlead:s%40cret@db.example.com:6432/fleet');
  assert.equal(address.name, 'postgres://fairlead@db.example.com:6432/fleet');
  const { host, port, user, password, database } = address.client.reveal();
  assert.deepEqual([host, port, user, password, database], ['db.example.com', 6432, 'fairlead', 's@cret', 'fleet']);
  assert.doesNotMatch(`${inspect(address, { depth: 9 })} ${JSON.stringify(address)}`, /s@cret|s%40cret/);
});

test('TLS is verified unless the database is on this machine or the URL says otherwise', () => {
  const tls = (url: string): unknown => parseDatabaseUrl(url).client.reveal().ssl;
  assert.deepEqual(tls('postgres://u@db.example.com/d'), { rejectUnauthorized: true });
  assert.deepEqual(tls('postgres://u@db.example.com/d?sslmode=require'), { rejectUnauthorized: false });
  for (const local of [
    'postgres://u@127.0.0.1/d',
    'postgres://u@localhost/d',
    'postgres://u@[::1]/d',
    'postgres://u@x/d?host=/run/postgresql',
  ])
    assert.equal(tls(local), false, local);
  assert.equal(tls('postgres://u@db.example.com/d?sslmode=disable'), false);
});

test('a URL that cannot be used is refused without quoting it', () => {
  for (const url of [
    'mysql://u:s3cret@h/d',
    'u:s3cret@h/d',
    'postgres://u:s3cret@h/',
    'postgres://:s3cret@h/d',
    'postgres://u:s3cret@h/d?sslmode=prefer',
    'postgres://u:s3cret@h/d?options=-c%20fsync=off',
    'postgres://u:s3cret@h/d?sslrootcert=/nowhere/ca.pem',
  ]) {
    assert.throws(
      () => parseDatabaseUrl(url),
      (error) => codeOf(error) === 'FL_STORE_URL' && !messageOf(error).includes('s3cret'),
      url,
    );
  }
});
