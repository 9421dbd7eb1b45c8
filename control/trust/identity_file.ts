// Owns the file with which a node proves who it is: its certificate and key, whom it believes, and the cluster's secret. One
// file, so that they change together; written whole or not at all, on the disk before anybody relies on it, and for root
// alone.
import { constants } from 'node:fs';
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { Failure } from '../lib/failure.ts';

const FORMAT = 1;
const BYTES_MAX = 256 << 10;
const READABLE_BY_OTHERS = 0o077;

const pem = z.string().startsWith('-----BEGIN ');
const identitySchema = z.object({
  format: z.literal(FORMAT),
  /** Id of the cluster. */
  cluster: z.string(),
  /** Of this node, as of when it joined. */
  id: z.string(),
  name: z.string(),
  certificate: pem,
  key: pem,
  /** For the certificate that is asked for next: on the disk before, so that no attempt fails for the disk. */
  nextKey: pem.exactOptional(),
  /** Id of the authority that signed it, and its epoch then. */
  authority: z.int(),
  epoch: z.int(),
  authorities: z.array(z.object({ id: z.int(), certificate: pem })).min(1),
  cross: pem.exactOptional(),
  /** Base64; nodes that make no certificates have none. */
  secret: z.base64().exactOptional(),
});
export type NodeIdentity = Omit<z.infer<typeof identitySchema>, 'format'>;

export class IdentityFile {
  readonly path: string;

  constructor(stateDirectory: string) {
    this.path = join(stateDirectory, 'identity.json');
  }

  /** Undefined where this node has joined nothing. @throws Failure `configuration` where the file cannot be relied on. */
  async read(): Promise<NodeIdentity | undefined> {
    let text: string;
    try {
      const { mode, size } = await stat(this.path);
      if ((mode & READABLE_BY_OTHERS) !== 0) throw this.#unusable('others than root may read or write it');
      if (size > BYTES_MAX) throw this.#unusable(`it is longer than ${BYTES_MAX} bytes`);
      text = await readFile(this.path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error instanceof Failure ? error : this.#unusable((error as Error).message);
    }
    let content: unknown;
    try {
      content = JSON.parse(text);
    } catch (error) {
      throw this.#unusable((error as Error).message);
    }
    const parsed = identitySchema.safeParse(content);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw this.#unusable(`${issue!.path.join('.')}: ${issue!.message}`);
  }

  async write(identity: NodeIdentity): Promise<void> {
    const aside = `${this.path}.new`;
    try {
      await rm(aside, { force: true });
      const { O_WRONLY, O_CREAT, O_EXCL } = constants;
      const file = await open(aside, O_WRONLY | O_CREAT | O_EXCL, 0o600);
      try {
        await file.writeFile(`${JSON.stringify({ format: FORMAT, ...identity }, undefined, 2)}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(aside, this.path);
      await this.#syncDirectory();
    } catch (cause) {
      throw new Failure('unavailable', `${this.path} was not written`, {
        cause,
        remedy: 'make room on the disk, and check that holdfastd may write to stateDirectory',
      });
    }
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true });
    await this.#syncDirectory();
  }

  async #syncDirectory(): Promise<void> {
    const directory = await open(dirname(this.path), 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }

  #unusable(reason: string): Failure {
    return new Failure('configuration', `the identity of this node, ${this.path}, cannot be used`, {
      reason,
      remedy: 'put back a copy, for root alone (chmod 600); or remove it, remove the node, and join again',
    });
  }
}
