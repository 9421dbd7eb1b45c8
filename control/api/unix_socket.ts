// Owns putting a server on the path of a Unix socket, so that nobody but root can ever connect, what a dead daemon left
// behind is removed, and what belongs to a living one is not.
import { randomBytes } from 'node:crypto';
import { chmod, link, lstat, mkdir, mkdtemp, rename, rm, rmdir, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { Failure } from '../lib/failure.ts';

/** `sun_path` of struct sockaddr_un, less its zero. */
const SOCKET_PATH_BYTES_MAX = 107;
const DIRECTORY_MODE = 0o755;
const SOCKET_MODE = 0o600;
/** Others may not write: they could put a socket of their own in our place. */
const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

export type SocketPlace = {
  /** Takes the socket away, if it is still this one. */
  leave(): Promise<void>;
};

/**
 * Listens in a private directory first, where nobody can connect before the mode is right, and then links the socket to
 * its place: that fails where another daemon was faster.
 */
export async function listenAt(server: Server, path: string): Promise<SocketPlace> {
  try {
    await makeDirectory(dirname(path));
    await removeStale(path);
    return await place(server, path);
  } catch (error) {
    server.close();
    if (error instanceof Failure) throw error;
    throw new Failure('configuration', `holdfastd cannot listen on ${path}.`, {
      cause: error,
      remedy: 'Run it as root, or set api.socket to another path.',
    });
  }
}

async function place(server: Server, path: string): Promise<SocketPlace> {
  // Not join(), which would take the dot for the directory itself.
  const privateDirectory = await mkdtemp(`${dirname(path)}/.`);
  const privatePath = join(privateDirectory, 's');
  try {
    checkLength(path);
    checkLength(privatePath);
    await listening(server, privatePath);
    await chmod(privatePath, SOCKET_MODE);
    await link(privatePath, path).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'EEXIST' ? taken(path) : error;
    });
    const { ino } = await lstat(path);
    return { leave: () => leave(path, ino) };
  } finally {
    await rm(privatePath, { force: true });
    await rmdir(privateDirectory);
  }
}

async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
  } catch (error) {
    throw new Failure('configuration', `The directory ${directory} cannot be made.`, {
      cause: error,
      remedy: 'Make it, or set api.socket to another path.',
    });
  }
  const { mode } = await lstat(directory);
  if ((mode & WRITABLE_BY_OTHERS) !== 0 && (mode & STICKY) === 0) {
    throw new Failure('configuration', `Others may write to ${directory}.`, {
      reason: 'They could put a socket of their own in the place of api.socket.',
      remedy: `chmod go-w ${directory}`,
    });
  }
}

async function removeStale(path: string): Promise<void> {
  const before = await lstat(path).catch(ignoreMissing);
  if (before === undefined) return;
  if (!before.isSocket()) {
    throw new Failure('configuration', `${path} exists and is no socket.`, {
      remedy: 'Remove it, or set api.socket to another path.',
    });
  }
  if (await answers(path)) throw taken(path);
  // Another daemon may do the same now. Of all that move the dead socket away one succeeds; who moves a living one, put
  // there since, gives it back.
  const aside = join(dirname(path), `.${randomBytes(4).toString('hex')}`);
  await rename(path, aside).catch(ignoreMissing);
  const moved = await lstat(aside).catch(ignoreMissing);
  if (moved !== undefined && moved.ino !== before.ino) {
    await link(aside, path).catch(() => {});
    await unlink(aside);
    throw taken(path);
  }
  await rm(aside, { force: true });
}

/** Whether a process listens there. */
async function answers(path: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.once('connect', () => resolve(true));
  socket.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
    // Its queue of connections is full, so somebody has one.
    else if (error.code === 'EAGAIN') resolve(true);
    else {
      reject(
        new Failure('configuration', `The socket ${path} cannot be examined.`, {
          cause: error,
          remedy: 'Remove it, if no holdfastd runs.',
        }),
      );
    }
  });
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

async function listening(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ path }, () => resolve());
  await promise;
  server.off('error', reject);
}

async function leave(path: string, ino: number): Promise<void> {
  const now = await lstat(path).catch(ignoreMissing);
  if (now?.ino === ino) await rm(path, { force: true });
}

function checkLength(path: string): void {
  const lengthBytes = Buffer.byteLength(path);
  if (lengthBytes <= SOCKET_PATH_BYTES_MAX) return;
  throw new Failure('configuration', `The path of the socket ${basename(path)} is too long.`, {
    reason: `${path} has ${lengthBytes} bytes, and Linux takes ${SOCKET_PATH_BYTES_MAX}.`,
    remedy: 'Set api.socket to a shorter path.',
  });
}

function taken(path: string): Failure {
  return new Failure('conflict', `Another process listens on ${path} already.`, {
    reason: 'Probably a holdfastd that still runs.',
    remedy: 'Stop it, or set api.socket of one of them to another path.',
  });
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
