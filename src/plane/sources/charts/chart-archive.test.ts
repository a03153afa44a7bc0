import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { FairleadError } from '#base';
import { reasonOf, say, type ReasonCode } from '#api';
import { defaultSourceLimits } from '../mirror.ts';
import { unpackChart } from './chart-archive.ts';
import { chooseVersion } from './choose-version.ts';
import { pack, packChart, type PackedEntry } from './testing/pack.ts';

const chart: PackedEntry = { name: 'web/Chart.yaml', content: 'name: web' };
const limits = { ...defaultSourceLimits, files: 50, fileBytes: 10_000, pathBytes: 20_000 };

async function refusal(archive: Uint8Array): Promise<string> {
  try {
    await unpackChart(archive, 'web 1.0.0', limits);
  } catch (error) {
    assert.ok(error instanceof FairleadError, String(error));
    // Every refusal is a sentence for a person.
    return say(reasonOf(error.code as ReasonCode, error.details));
  }
  throw new Error('it was not refused');
}

test('a packed chart is its files below the directory of the chart', async () => {
  const { files, packedAtMs } = await unpackChart(packChart('web', '1.0.0', { 'crds/a.yaml': 'a' }), 'web', limits);
  assert.deepEqual(
    files.map(({ path }) => path),
    ['Chart.yaml', 'crds/a.yaml', 'templates/config.yaml', 'values.yaml'],
  );
  assert.equal(new Date(packedAtMs).toISOString(), '2026-01-01T00:00:00.000Z');
});

test('long names of GNU and pax archives are read', async () => {
  const long = `web/templates/${'deep/'.repeat(40)}x.yaml`;
  const record = ` path=${long}\n`;
  const length = String(record.length + 3);
  for (const header of [
    { name: '././@LongLink', type: 'L', content: `${long}\0` },
    { name: 'PaxHeader', type: 'x', content: `${length}${record}` },
  ]) {
    const { files } = await unpackChart(pack([chart, header, { name: 'web/short', content: 'x' }]), 'web', limits);
    assert.ok(
      files.some(({ path }) => path === long.slice(4)),
      header.type,
    );
  }
});

test('hostile archives are refused, and the sentence names the file and what is wrong', async () => {
  const cases: readonly (readonly [string, Uint8Array, RegExp])[] = [
    [
      'symbolic link',
      pack([chart, { name: 'web/a', type: '2', link: '/etc/passwd' }]),
      /web\/a is a symbolic link, which is not read/,
    ],
    ['hard link', pack([chart, { name: 'web/a', type: '1', link: 'web/Chart.yaml' }]), /a hard link/],
    ['device', pack([chart, { name: 'web/a', type: '3' }]), /a device or another special file/],
    ['sparse', pack([chart, { name: 'web/a', type: 'S', size: 0 }]), /special file/],
    ['parent', pack([chart, { name: 'web/../../a', content: 'x' }]), /a name that leads out of the chart/],
    ['absolute', pack([chart, { name: '/etc/passwd', content: 'x' }]), /leads out/],
    ['drive', pack([chart, { name: 'C:\\a', content: 'x' }]), /leads out/],
    ['other directory', pack([chart, { name: 'db/a', content: 'x' }]), /not in the directory of the chart/],
    ['root', pack([chart, { name: 'a', content: 'x' }]), /not in the directory of the chart/],
    ['twice', pack([chart, chart]), /holds Chart.yaml twice/],
    ['no chart', pack([{ name: 'web/values.yaml', content: 'x' }]), /holds no Chart.yaml/],
    ['line break', pack([chart, { name: 'web/a\nb', content: 'x' }]), /control characters/],
    ['claims a terabyte', pack([chart, { name: 'web/a', size: 0o7777777777 }]), /ends before its end/],
    [
      'large file',
      pack([chart, { name: 'web/a', content: Buffer.alloc(10_001) }]),
      /"?web?"?.*a, in bytes, is 10001, allowed 10000/,
    ],
    [
      'many files',
      pack([chart, ...Array.from({ length: 51 }, (_, i) => ({ name: `web/${i}`, content: 'x' }))]),
      /number of files/,
    ],
    ['bomb', gzipSync(Buffer.alloc(60_000_000)), /the unpacked chart, in bytes, is more than/],
    ['no gzip', Buffer.from('plain'), /no gzip/],
    ['damaged', gzipSync(gunzipSync(pack([chart])).fill(9, 0, 20)), /a header of the archive is damaged/],
  ];
  for (const [name, archive, words] of cases) assert.match(await refusal(archive), words, name);
});

test('no bytes whatever make it throw anything but a refusal', async () => {
  const whole = gunzipSync(packChart('web', '1.0.0'));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 20 }), async (changes) => {
      const bytes = Buffer.from(whole);
      for (const [at, value] of changes) bytes[at] = value;
      try {
        for (const { path } of (await unpackChart(gzipSync(bytes), 'web', limits)).files)
          assert.ok(!path.startsWith('/') && !path.split('/').includes('..'), path);
      } catch (error) {
        assert.ok(error instanceof FairleadError && error.code.startsWith('FL_SOURCE_'), String(error));
      }
    }),
    { numRuns: 200 },
  );
});

test('a version is that one, a range the highest of it', () => {
  const versions = ['1.2.0', '1.2.10', '1.2.9', 'v1.3.0', '2.0.0-rc.1', '2.0.0-rc.2', 'latest', '1.2.10+build'];
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['1.2.9', '1.2.9'],
    ['1.3.0', 'v1.3.0'],
    ['latest', 'latest'],
    ['1.2.x', '1.2.10'],
    ['~1.2.0', '1.2.10'],
    ['>=1.2 <1.2.10', '1.2.9'],
    ['^1', 'v1.3.0'],
    ['*', 'v1.3.0'],
    ['2.0.0-rc.1', '2.0.0-rc.1'],
    ['>=2.0.0-rc.0', '2.0.0-rc.2'],
    ['9.9.9', undefined],
    ['^3', undefined],
    ['what', undefined],
  ];
  for (const [wish, expected] of cases) assert.equal(chooseVersion(versions, wish), expected, wish);
});
