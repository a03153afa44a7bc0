import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

/**
 * Imports point downwards only (architecture.md, section 7): what each room may import. A room is a directory; its parts
 * import each other by path, other rooms by `#room`.
 */
const rooms: Readonly<Record<string, readonly string[]>> = {
  base: [],
  api: ['base'],
  kube: ['base', 'api'],
  render: ['base', 'api'],
  'plane/store': ['base', 'api'],
  'plane/engine': ['base', 'api', 'plane/store'],
  'plane/http': ['base', 'api'],
  'plane/kubeapi': ['base', 'api', 'kube', 'plane/store', 'plane/engine', 'plane/http'],
  'plane/keys': ['base', 'api'],
  'plane/fetch': ['base', 'api'],
  'plane/clusters': ['base', 'api', 'plane/store', 'plane/engine', 'plane/http', 'plane/keys'],
  'plane/sources': ['base', 'api', 'plane/store', 'plane/engine', 'plane/http', 'plane/keys', 'plane/fetch'],
  'plane/applications': ['base', 'api', 'render', 'plane/store', 'plane/engine', 'plane/http', 'plane/keys', 'plane/fetch'],
  'plane/deliveries': ['base', 'api', 'plane/store', 'plane/engine', 'plane/http', 'plane/keys'],
  // kube: what agents show of live objects is read and hidden there.
  'plane/agents': ['base', 'api', 'kube', 'plane/store', 'plane/engine', 'plane/http', 'plane/keys'],
  'plane/self': ['base', 'api', 'plane/store', 'plane/engine', 'plane/kubeapi'],
  'plane/views': ['base', 'api', 'plane/store', 'plane/engine', 'plane/http'],
  plane: [
    'base',
    'api',
    'kube',
    'render',
    'plane/store',
    'plane/engine',
    'plane/http',
    'plane/kubeapi',
    'plane/keys',
    'plane/fetch',
    'plane/clusters',
    'plane/sources',
    'plane/applications',
    'plane/deliveries',
    'plane/agents',
    'plane/self',
    'plane/views',
  ],
  agent: ['base', 'api', 'kube'],
  console: ['api'],
  testbed: ['base', 'api', 'kube'],
  'testbed/agentsim': ['base', 'api'],
  'testbed/e2e': [
    'base',
    'api',
    'kube',
    'render',
    'console',
    'testbed',
    'testbed/demo',
    'plane',
    'plane/store',
    'plane/keys',
    'agent',
  ],
  'testbed/demo': ['base', 'api', 'kube', 'render', 'console', 'testbed', 'plane', 'agent'],
  cli: ['base', 'api', 'kube', 'render', 'console', 'plane', 'agent', 'testbed'],
};

function roomOf(path: string): string {
  const relative = path.replace(/^src\//, '');
  const candidates = Object.keys(rooms).filter((room) => relative.startsWith(`${room}/`));
  return candidates.sort((a, b) => b.length - a.length)[0] ?? '';
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [
    ...text.matchAll(/^\s*(?:import|export)\s[^'"]*?from\s+'([^']+)'|^\s*import\s+'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/gm),
  ].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}

test('every import points downwards, and between rooms by #room only', () => {
  const wrong: string[] = [];
  for (const file of globSync(['src/**/*.ts', 'src/**/*.tsx'])) {
    const room = roomOf(file);
    if (room === '') {
      wrong.push(`${file}: belongs to no room; name its directory in tools/layers.test.ts`);
      continue;
    }
    // Integration tests may stand on the testbed and on anything they exercise together.
    const isTest = /\.test\.tsx?$/.test(file) || file.includes('/testing/') || file.includes('.testing.');
    for (const target of importsOf(file)) {
      if (target.startsWith('#')) {
        const other = target.slice(1);
        if (!(other in rooms)) wrong.push(`${file}: ${target} is no room`);
        else if (other === room) wrong.push(`${file}: imports its own room by name; import the file`);
        else if (!isTest && !(rooms[room] ?? []).includes(other)) wrong.push(`${file}: ${room} must not import ${target}`);
      } else if (target.startsWith('.')) {
        const other = roomOf(normalize(join(dirname(file), target)));
        const isOwnPart =
          other === room ||
          room === 'plane' ||
          (room.startsWith('testbed/') && other.startsWith('testbed')) ||
          // The protocol's client for tests belongs to the room that serves the protocol; simulated agents are made of it.
          (room === 'testbed/agentsim' && target.endsWith('/plane/agents/testing/agent-client.ts'));
        if (!isOwnPart && !isTest) wrong.push(`${file}: reaches into ${other === '' ? target : other} by path; import #${other}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});
