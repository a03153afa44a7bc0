import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { agentNodeEnvironment, agentNodeFlags } from './build.ts';

test('the image starts the agent with the flags and in the environment with which it is measured', () => {
  const file = readFileSync(new URL('../../charts/fairlead-agent/Containerfile', import.meta.url), 'utf8');
  const set = [...file.matchAll(/^ENV (\w+)=(\S+)$/gm)].map(([, name, value]) => [name, value]);
  assert.deepEqual(Object.fromEntries(set), agentNodeEnvironment);
  const entrypoint = /^ENTRYPOINT (\[.*\])$/m.exec(file)?.[1] ?? '[]';
  assert.deepEqual((JSON.parse(entrypoint) as string[]).slice(1, -1), agentNodeFlags);
});
