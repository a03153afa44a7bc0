import { openStore } from '../open-store.ts';
import { Sensitive, systemClock, silentLog } from '#base';
import { put, Widget } from './contract-kit.ts';

/**
 * Commits until it is killed, a few writers at a time, and prints `<writer> <n> <revision>` for each acknowledged commit.
 * Every commit writes two objects with the same number.
 */
const { location, writers } = JSON.parse(process.argv[2] ?? '{}') as {
  location: { dir?: string; url?: string };
  writers: number;
};
const { dir, url } = location;
const store = await openStore({
  ...(dir === undefined ? {} : { dir }),
  ...(url === undefined ? {} : { url: new Sensitive(url) }),
  kinds: [Widget],
  log: silentLog,
  clock: systemClock,
});
process.stdout.write('ready\n');
await Promise.all(
  Array.from({ length: writers }, async (_, writer) => {
    const existing = await store.get(Widget, { namespace: 'default', name: `w${writer}-left` });
    for (let n = (existing?.spec.size ?? 0) + 1; ; n++) {
      const text = 'x'.repeat((n * 997) % 20_000);
      const result = await store.commit({
        write: ['left', 'right'].map((side) => put(`w${writer}-${side}`, { labels: { n: String(n) }, spec: { size: n, text } })),
        audit: { actor: `w${writer}`, verb: 'update', object: 'Widget', at: '2026-01-01T00:00:00Z', details: { n } },
        effects: [{ type: 'count', key: `w${writer}`, payload: n }],
      });
      if (!result.ok) throw new Error('refused');
      process.stdout.write(`${writer} ${n} ${result.revision}\n`);
    }
  }),
);
