import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { seededRng } from '#base';
import { choosePort } from './ports.ts';

test('a port that is taken, or was handed out before, is not chosen', async () => {
  const first = await choosePort(seededRng(7));
  assert.ok(first >= 20_000 && first < 32_000, `${first} is below the ephemeral range`);
  // The same sequence again: the first number is refused because it was handed out.
  const second = await choosePort(seededRng(7));
  assert.notEqual(second, first);

  const upcoming = await choosePort(seededRng(11));
  const rng = seededRng(12);
  const wanted = 20_000 + Math.floor(seededRng(12)() * 12_000);
  const listener = createServer();
  await new Promise<void>((resolve) => {
    listener.listen(wanted, '127.0.0.1', resolve);
  });
  try {
    const chosen = await choosePort(rng);
    assert.notEqual(chosen, wanted);
    assert.notEqual(chosen, upcoming);
  } finally {
    listener.close();
  }
});
