import { relative } from 'node:path';
import type { Demo } from './demo.ts';
import type { Progress } from './progress.ts';

/** Tells a person where everything is and what to try; `p` stops and starts the plane, `q` ends. */
export async function tour(demo: Demo, progress: Progress, controller: AbortController, stopped: Promise<void>): Promise<void> {
  const { plane, git, clusters } = demo.describe();
  const here = (path: string): string => (relative(process.cwd(), path).startsWith('..') ? path : relative(process.cwd(), path));
  const [dev] = clusters;
  process.stdout.write(`
The fleet is up.

  console      ${await demo.loginUrl()}
  the plane    export KUBECONFIG=${here(plane.kubeconfig)}
               kubectl get clusters,applications,deliveries -A
${clusters.map(({ name, kubeconfig }) => `  ${name.padEnd(12)} kubectl --kubeconfig ${here(kubeconfig)} get pods -A\n`).join('')}
Try this:

  1. Push a change, and see it arrive everywhere:
       git clone ${git.url} fleet && cd fleet
       sed -i 's/greeting: Hello$/greeting: Good evening/' apps/web/prod/web.yaml
       git commit -am 'Greet by the time of day' && git push

  2. Change something by hand, and see it healed:
       kubectl --kubeconfig ${here(dev?.kubeconfig ?? '')} -n web scale deployment web --replicas 5
       node tools/fairlead.mjs why web dev

  3. Press p to stop the plane, do 2. again, and see the cluster heal by itself. p starts the plane again.

Press q or Ctrl-C to end; nothing stays behind but ${here(plane.kubeconfig).replace(/\/plane\/admin\.kubeconfig$/, '')}.
`);
  if (process.stdin.isTTY) {
    process.stdin.setRawMode(true);
    process.stdin.resume();
    process.stdin.on('data', (keys: Buffer) => {
      for (const key of keys.toString('latin1')) {
        if (key === 'q' || key === '\u0003') process.emit('SIGINT');
        else if (key === 'p') void togglePlane(demo, progress, controller.signal);
      }
    });
  }
  await stopped;
  if (process.stdin.isTTY) {
    process.stdin.setRawMode(false);
    process.stdin.pause();
  }
}

let isToggling = false;

async function togglePlane(demo: Demo, progress: Progress, signal: AbortSignal): Promise<void> {
  if (isToggling) return;
  isToggling = true;
  try {
    if (demo.isPlaneRunning) await progress.step('stopping the plane', () => demo.stopPlane());
    else await progress.step('starting the plane', () => demo.startPlane(signal));
    progress.say(demo.isPlaneRunning ? 'the plane runs' : 'the plane is stopped; p starts it again');
  } finally {
    isToggling = false;
  }
}
