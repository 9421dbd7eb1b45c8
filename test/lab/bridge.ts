// A process in a namespace that lets another namespace's clients in: what connects to its Unix socket is connected to
// an address there. Arguments: the path of the socket, the host, the port.
import { connect, createServer } from 'node:net';

const [path = '', host = '', port = ''] = process.argv.slice(2);

const server = createServer({ allowHalfOpen: true }, (near) => {
  const far = connect({ host, port: Number(port), allowHalfOpen: true });
  near.pipe(far).pipe(near);
  near.on('error', () => far.destroy());
  far.on('error', () => near.destroy());
  far.on('close', () => near.destroySoon());
});
server.listen(path, () => process.stdout.write(`${JSON.stringify({ ready: true })}\n`));
