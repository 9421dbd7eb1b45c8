// Owns what nodes write about themselves and share without anybody's edit: their registration, and the secret of the
// hash key.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StoredNode } from '../config/cluster_state.ts';
import { Failure } from '../lib/failure.ts';
import type { Store } from '../store/contract.ts';
import { decodeRegistration } from './ack_layout.ts';
import { MARGIN_SHARE } from './deadline_core.ts';
import { registrationKey } from './keys.ts';
import { damaged, encodeNode, HASH_SECRET_KEY, nodeKey } from './layout.ts';

const SECRET_BYTES = 32;
/** Stores take away what is under a lease so long after its end. */
const EXPIRY_MS_MAX = 1_000;
/** Of a lease: between two looks whether it has ended. */
const LOOK_SHARE = 1 / 10;

/** Two nodes of one name would take each other's place in turn. */
export function anotherNode(name: string, address: string, own: string): Failure {
  return new Failure('conflict', `another node is registered as ${name}, at ${address}`, {
    reason: `this one is at ${own}`,
    remedy:
      'give one of them another name (node in its configuration); after a change of address, wait some seconds',
  });
}

/**
 * Nothing of a mux that is alive is written over by a node that was given the same name: what it sends would be dropped.
 * @throws Failure conflict where one is registered at another address.
 */
export async function checkOnlyNode(
  store: Pick<Store, 'get'>,
  { name, address }: { readonly name: string; readonly address: string | undefined },
): Promise<void> {
  const entry = await store.get(registrationKey(name));
  if (entry === undefined || address === undefined) return;
  const other = decodeRegistration(entry);
  if (other.address !== address) throw anotherNode(name, other.address, address);
}

/** Resolves when the mux of this name is registered no more, or has renewed its lease. */
export async function registrationEnds(store: Pick<Store, 'get'>, name: string): Promise<void> {
  const first = await store.get(registrationKey(name));
  if (first === undefined) return;
  const { leaseMs } = decodeRegistration(first);
  const untilMs = performance.now() + leaseMs * (1 + MARGIN_SHARE) + EXPIRY_MS_MAX;
  while (performance.now() < untilMs && (await store.get(registrationKey(name))) !== undefined)
    await sleep(leaseMs * LOOK_SHARE);
}

/** Tells others of this node, until somebody takes it away. Makes no revision where the store says so already. */
export async function registerNode(
  store: Pick<Store, 'get' | 'txn'>,
  node: Omit<StoredNode, 'modRevision'>,
): Promise<void> {
  const key = nodeKey(node.name);
  const value = encodeNode(node);
  if ((await store.get(key))?.value !== value) await store.txn([], [{ put: key, value }]);
}

/** The same 32 bytes for every node of the cluster: made by whoever comes first, or put back by who still has them. */
export async function hashSecret(
  store: Pick<Store, 'get' | 'txn'>,
  ours: Uint8Array = randomBytes(SECRET_BYTES),
): Promise<Uint8Array> {
  const key = HASH_SECRET_KEY;
  if ((await store.get(key)) === undefined) {
    const value = Buffer.from(ours).toString('base64');
    await store.txn([{ key, modRevision: 0 }], [{ put: key, value }]);
  }
  return secretOf((await store.get(key))!.value);
}

export function secretOf(value: string): Uint8Array {
  const key = HASH_SECRET_KEY;
  const bytes = Buffer.from(value, 'base64');
  if (bytes.length !== SECRET_BYTES || bytes.toString('base64') !== value) {
    throw damaged(key, `it is not the base64 of ${SECRET_BYTES} bytes`);
  }
  return new Uint8Array(bytes);
}
