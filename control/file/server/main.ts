// holdfast-filed: the composition root of the file server, a process of its own, so that a storage that hangs delays no
// heartbeat. Started by holdfastd, which it outlives for a while, so that a restart of holdfastd is none of the service.
import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { openLocalFileSystem } from '../filesystem/local/filesystem.ts';
import { ControlSocket } from './control_socket.ts';
import { NO_FENCE } from './fence.ts';
import { Filed } from './filed.ts';

/**
 * So long it serves without a daemon: what changes in the namespace does not reach it, and access that was taken away must
 * not last.
 */
const ALONE_MS = 60_000;

const path = process.argv[2];
if (path === undefined) {
  process.stderr.write('holdfast-filed is started by holdfastd, with the path of a socket\n');
  process.exit(64);
}
process.title = 'holdfast-filed';

const destination = pino.destination({ dest: 2, sync: true });
// Who read the log may be gone with the daemon.
destination.on('error', () => {});
const log = pino({ base: { process: 'holdfast-filed' } }, destination);

const control = await ControlSocket.open({
  path,
  onDaemon: () => {
    clearTimeout(alone);
    filed.greet();
  },
  onMessage: (message) => {
    try {
      filed.hear(message);
    } catch (error) {
      // What it has already is served on.
      log.error({ kind: message.kind, err: error }, 'what holdfastd said cannot be used');
    }
  },
  onGone: () => {
    log.warn({ aloneMs: ALONE_MS }, 'holdfastd is gone; serving goes on for a while');
    alone = setTimeout(end, ALONE_MS, 'no holdfastd came');
  },
});
const filed = new Filed({
  pid: process.pid,
  send: (message) => control.send(message),
  log: (level, message, detail) => log[level](detail ?? {}, message),
  openStorage: (directory) => openLocalFileSystem(directory),
  randomBytes: (count) => Uint8Array.from(randomBytes(count)),
  fence: NO_FENCE,
  nowMs: () => performance.now(),
  timeMs: Date.now,
  end: () => end('holdfastd said so'),
});
let alone = setTimeout(end, ALONE_MS, 'no holdfastd came');
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => end(signal));

function end(reason: string): void {
  log.info({ reason }, 'the file server ends');
  control.close();
  // A storage that hangs would keep a process that closes it.
  process.exit(0);
}
