import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { beforeEach, test } from 'node:test';
import type { Socket } from 'node:net';
import { ConnectionGate } from './connection-gate.ts';

let gate: ConnectionGate;
let admitted: string[];

beforeEach(() => {
  const mine: string[] = [];
  admitted = mine;
  gate = new ConnectionGate((socket) => mine.push(socket.remoteAddress ?? ''), { perTurn: 2, waiting: 5, waitMs: 60_000 });
});

/** As much of a socket as a gate sees: where it is from, and that it closes. */
function call(remoteAddress: string): Socket {
  const socket = Object.assign(new PassThrough(), { remoteAddress }) as unknown as Socket;
  gate.enter(socket);
  return socket;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('so many per turn, the others in the turns after it', async () => {
  for (let n = 0; n < 5; n++) call('10.0.0.1');
  assert.equal(admitted.length, 2);
  await turn();
  assert.equal(admitted.length, 4);
  await turn();
  assert.deepEqual([admitted.length, gate.waiting], [5, 0]);
});

test('a caller with an address of its own does not wait behind a crowd', async () => {
  for (let n = 0; n < 6; n++) call('10.0.0.1');
  call('10.9.9.9');
  await turn();
  assert.deepEqual(admitted.slice(2), ['10.0.0.1', '10.9.9.9']);
});

test('who gives up waiting leaves its place, also by an error, and beyond the bound a connection is closed', async () => {
  for (let n = 0; n < 6; n++) call('10.0.0.1');
  const last = call('10.0.0.1');
  const beyond = call('10.9.9.9');
  assert.deepEqual([gate.waiting, beyond.destroyed], [5, true]);
  last.destroy(new Error('reset by the peer'));
  await turn();
  assert.deepEqual([gate.waiting, admitted.length], [2, 4]);
  gate.close();
  await turn();
  assert.deepEqual([gate.waiting, admitted.length], [0, 4]);
});
