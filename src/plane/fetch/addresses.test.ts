import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { classify, formatAddress, isWithin, parseAddress, parseRange, type AddressClass } from './addresses.ts';
import { EgressPolicy } from './egress-policy.ts';

const classOf = (text: string): AddressClass | undefined => {
  const bytes = parseAddress(text);
  return bytes === undefined ? undefined : classify(bytes);
};

test('addresses are what the registries say, in every form they can be written in', () => {
  const cases: readonly (readonly [string, AddressClass | undefined])[] = [
    ['93.184.215.14', 'public'],
    ['2606:2800:220:1:248:1893:25c8:1946', 'public'],
    ['10.1.2.3', 'private'],
    ['172.31.255.255', 'private'],
    ['172.32.0.0', 'public'],
    ['192.168.1.1', 'private'],
    ['100.64.0.1', 'private'],
    ['fd12:3456::1', 'private'],
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['::1', 'loopback'],
    ['::ffff:127.0.0.1', 'loopback'],
    ['::FFFF:7f00:1', 'loopback'],
    ['64:ff9b::7f00:1', 'loopback'],
    ['64:ff9b::a9fe:a9fe', 'metadata'],
    ['64:ff9b::5db8:d70e', 'public'],
    ['169.254.169.254', 'metadata'],
    ['::ffff:169.254.169.254', 'metadata'],
    ['fd00:ec2::254', 'metadata'],
    ['fd00:0ec2:0:0:0:0:0:254', 'metadata'],
    ['100.100.100.200', 'metadata'],
    ['169.254.1.1', 'link-local'],
    ['fe80::1%eth0', 'link-local'],
    ['0.0.0.0', 'unspecified'],
    ['0.1.2.3', 'unspecified'],
    ['::', 'unspecified'],
    ['224.0.0.1', 'multicast'],
    ['ff02::1', 'multicast'],
    ['255.255.255.255', 'reserved'],
    // 6to4, Teredo, IPv4-compatible, a local translation prefix: each can end at 127.0.0.1.
    ['2002:7f00:0001::', 'reserved'],
    ['2001:0:7f00:1::', 'reserved'],
    ['::7f00:1', 'reserved'],
    ['64:ff9b:1::7f00:1', 'reserved'],
    ['::ffff:0:7f00:1', 'reserved'],
    ['4000::1', 'reserved'],
    // What one reader takes for an address and another does not is none.
    ['127.1', undefined],
    ['0x7f.0.0.1', undefined],
    ['0177.0.0.1', undefined],
    ['2130706433', undefined],
    ['127.0.0.1.', undefined],
    ['1::2::3', undefined],
    ['1:2:3:4:5:6:7', undefined],
    ['', undefined],
  ];
  for (const [text, expected] of cases) assert.equal(classOf(text), expected, text);
});

test('ranges are prefixes of what they name', () => {
  const range = parseRange('10.0.0.0/8');
  assert.ok(range);
  assert.ok(isWithin(parseAddress('10.255.0.1') ?? new Uint8Array(), range));
  assert.ok(!isWithin(parseAddress('11.0.0.0') ?? new Uint8Array(), range));
  for (const wrong of ['10.0.0.1/8', '10.0.0.0/33', '10.0.0.0/8/8', 'fd00::/129', '10/8', '', '10.0.0.0/', 'fe80::1/10'])
    assert.equal(parseRange(wrong), undefined, wrong);
});

test('what is written out and read again is the same address', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      assert.deepEqual(parseAddress(formatAddress(bytes)), bytes);
    }),
  );
  fc.assert(
    fc.property(fc.ipV4(), (text) => {
      assert.equal(classOf(text), classOf(`::ffff:${text}`));
      assert.equal(formatAddress(parseAddress(text) ?? new Uint8Array()), text);
    }),
  );
  fc.assert(fc.property(fc.ipV6(), (text) => assert.ok(parseAddress(text), text)));
});

test('the policy opens what it is told to, and metadata and the plane itself never', () => {
  const closed = new EgressPolicy();
  const open = new EgressPolicy({ allow: ['127.0.0.0/8', '169.254.0.0/16', '::1', '0.0.0.0/0'], deny: ['10.0.0.0/8'] });
  open.addOwnPort(8443);
  assert.match(closed.refusal('127.0.0.1', 443) ?? '', /loopback address, which takes --allow-egress/);
  assert.equal(closed.refusal('10.0.0.1', 443), undefined);
  assert.equal(closed.refusal('93.184.215.14', 443), undefined);
  assert.equal(open.refusal('127.0.0.1', 443), undefined);
  assert.equal(open.refusal('::1', 443), undefined);
  assert.match(open.refusal('127.0.0.1', 8443) ?? '', /the plane itself/);
  assert.match(open.refusal('::ffff:127.0.0.1', 8443) ?? '', /the plane itself/);
  assert.match(open.refusal('169.254.169.254', 80) ?? '', /metadata/);
  assert.match(open.refusal('10.1.1.1', 443) ?? '', /denied by --deny-egress/);
  assert.throws(() => new EgressPolicy({ allow: ['localhost'] }), { code: 'FL_FETCH_RANGE' });
});
