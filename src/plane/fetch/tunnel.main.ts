/** ssh's ProxyCommand: carries standard input and output through the egress proxy. Everything it needs is in its environment. */
import { request } from 'node:http';

const { FAIRLEAD_TUNNEL_PORT: port, FAIRLEAD_TUNNEL_TO: to, FAIRLEAD_TUNNEL_AUTH: auth } = process.env;

request({
  host: '127.0.0.1',
  port: Number(port),
  method: 'CONNECT',
  path: to ?? '',
  headers: { 'proxy-authorization': `Basic ${auth ?? ''}` },
})
  .once('connect', (response, socket, head) => {
    if (response.statusCode !== 200) fail(`the egress proxy answered ${response.statusCode ?? 0}`);
    process.stdout.write(head);
    socket.pipe(process.stdout);
    process.stdin.pipe(socket);
    socket.once('close', () => process.exit(0));
    socket.once('error', () => process.exit(1));
  })
  .once('error', (error) => fail(error.message))
  .end();

function fail(words: string): never {
  process.stderr.write(`fairlead: ${words}\n`);
  process.exit(1);
}
