import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { agentHelp, agentOptionTable, joinTokenOf, readAgentOptions } from './options.ts';
import { runAgentCommand } from './command.ts';

test('a flag counts before its variable, and an empty variable counts as none', () => {
  const env = { FAIRLEAD_PLANE: 'https://from-env', FAIRLEAD_LEASE_DURATION: '', FAIRLEAD_WATCH_NAMESPACES: 'a,b' };
  assert.deepEqual(readAgentOptions(['--plane', 'https://from-flag'], env), {
    plane: 'https://from-flag',
    'state-secret': 'fairlead-state',
    'watch-namespaces': 'a,b',
    'live-objects': 'on',
    'lease-duration': '60',
    'log-level': 'info',
  });
});

test('the variable that names the plane for people is not read as the cluster of an agent', () => {
  assert.equal(readAgentOptions([], { FAIRLEAD_KUBECONFIG: '/plane/admin.kubeconfig' })['kubeconfig' as never], undefined);
});

test('every option is in the help, with its variable', () => {
  const help = agentHelp();
  for (const { name, env } of agentOptionTable) assert.ok(help.includes(`--${name} <`) && help.includes(`[${env}]`), name);
  assert.ok(help.split('\n').every((line) => line.length <= 130));
});

test('a join token comes from a file, and a file that is gone after joining is no error', () => {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-options-'));
  try {
    const file = join(dir, 'token');
    assert.equal(joinTokenOf({ 'join-file': file }), undefined);
    writeFileSync(file, 'fl1.a.b.c\n');
    assert.equal(joinTokenOf({ 'join-file': file })?.trim(), 'fl1.a.b.c');
    assert.equal(joinTokenOf({ join: 'given', 'join-file': file }), 'given');
    assert.throws(() => joinTokenOf({ 'join-file': dir }), /--join-file .* cannot be read/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('wrong use ends with 2 and says what is wrong, never the value of --join', async () => {
  for (const args of [['--nope'], ['--lease-duration', '4'], ['--log-level', 'loud'], ['stray']]) {
    let words = '';
    const code = await runAgentCommand(['--join', 'fl1.secret', ...args], {
      out: () => undefined,
      err: (text) => (words += text),
      env: {},
    });
    assert.equal(code, 2);
    assert.match(words, /fairlead agent --help/);
    assert.ok(!words.includes('fl1.secret'));
  }
});
