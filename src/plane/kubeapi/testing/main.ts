/** `node src/plane/kubeapi/testing/main.ts <dir> [port]`: the API alone, for looking at it with kubectl. */
import { jsonLog } from '#base';
import { startKubeApiForTest } from './start-kube-api.ts';

const [dir, port] = process.argv.slice(2);
if (dir === undefined) throw new Error('usage: main.ts <dir> [port]');
const plane = await startKubeApiForTest({ dir, log: jsonLog(), ...(port === undefined ? {} : { port: Number(port) }) });
process.stdout.write(`KUBECONFIG=${plane.kubeconfig}\n`);
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void plane.stop());
