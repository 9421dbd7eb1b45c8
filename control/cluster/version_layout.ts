// Owns how a version is laid out in the store. Not here: when it is written (leader_driver.ts) or read (version_view.ts).
//
//   version/head           JSON: number, cluster, leader's epoch, digest, and the names of two blobs
//   version/blobs/DIGEST   named by the SHA-256 of the value, so that a name never means two contents; written before
//                          the head that names it. `objects`: services, pools and backends. `index`: members, periods and
//                          the names of the blobs of slot tables, one a pool: current, base (as difference) and period.
//   version/garbage        what no head names (any more): a list that each publication writes, first with the blobs that
//                          it is about to add, so that those of a leader that died in between are found, too.
//
// The version's digest is over all that the head says but itself, and so over every blob.
import { createHash } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { z } from 'zod';
import type { StoredBackend, StoredPool, StoredService } from '../config/cluster_state.ts';
import { Failure } from '../lib/failure.ts';
import { type Entry, VALUE_BYTES_MAX } from '../store/contract.ts';
import { damaged, deflateSlots } from './layout.ts';
import {
  COUNT_MAX,
  type Draft,
  type Gone,
  type Member,
  type Period,
  type Placement,
  type Version,
} from './version.ts';

/** Grows where older versions of Holdfast could not do what a version says. */
const FORMAT = 1;
const JSON_BYTES_MAX = 64 << 20;
const SLOT_BYTES = 5;

const digestSchema = z.string().regex(/^[0-9a-f]{64}$/);

const headSchema = z.strictObject({
  format: z.literal(FORMAT),
  number: z.int().min(1).max(COUNT_MAX),
  cluster: z.string(),
  leaderEpoch: z.int().min(0),
  objects: digestSchema,
  index: digestSchema,
  digest: digestSchema,
});
type Head = z.infer<typeof headSchema>;

/** What blobs say was checked by their digests, and written by the same code: only its shape is believed. */
type IndexBlob = {
  readonly members: readonly Member[];
  readonly gone: readonly Gone[];
  readonly unnamedSince: readonly (readonly [number, number])[];
  readonly placements: readonly {
    readonly poolId: number;
    readonly slots: number;
    readonly table: string;
    readonly periods: readonly Period[];
  }[];
};

type ObjectsBlob = {
  readonly revision: number;
  readonly services: readonly StoredService[];
  readonly pools: readonly StoredPool[];
  readonly backends: readonly (readonly [string, StoredBackend])[];
};

export type EncodedVersion = {
  readonly version: Version;
  /** Value of the head. */
  readonly head: string;
  /** Of all that it names, by digest. */
  readonly blobs: ReadonlyMap<string, string>;
};

/** Blobs of tables that are the same arrays as before are not made again. */
export class VersionEncoder {
  readonly #tables = new WeakMap<Uint8Array, { current: Uint16Array; base: Uint16Array; blob: Blob }>();

  encode(draft: Draft, leaderEpoch: number): EncodedVersion {
    const blobs = new Map<string, string>();
    const add = ({ digest, value }: Blob): string => {
      blobs.set(digest, value);
      return digest;
    };
    const { revision, services, pools, backends } = draft.objects;
    const objects = add(
      jsonBlob({
        revision,
        services: [...services.values()],
        pools: [...pools.values()],
        backends: [...backends],
      } satisfies ObjectsBlob),
    );
    const index = add(
      jsonBlob({
        members: draft.members,
        gone: draft.gone,
        unnamedSince: [...draft.unnamedSince],
        placements: [...draft.placements.values()].map((placement) => ({
          poolId: placement.poolId,
          slots: placement.current.length,
          table: add(this.#table(placement)),
          periods: placement.periods,
        })),
      } satisfies IndexBlob),
    );
    const { number, cluster } = draft;
    const unsigned = { format: FORMAT, number, cluster, leaderEpoch, objects, index } as const;
    const digest = digestOf(unsigned);
    return {
      version: { ...draft, leaderEpoch, digest },
      head: JSON.stringify({ ...unsigned, digest } satisfies Head),
      blobs,
    };
  }

  #table({ current, base, period }: Placement): Blob {
    const known = this.#tables.get(period);
    if (known?.current === current && known.base === base) return known.blob;
    const { length } = current;
    const words = new Uint16Array(2 * length);
    words.set(current);
    for (let slot = 0; slot < length; slot++) words[length + slot] = current[slot]! ^ base[slot]!;
    const bytes = Buffer.concat([Buffer.from(words.buffer), period]);
    const blob = blobOf(deflateSlots(bytes));
    this.#tables.set(period, { current, base, blob });
    return blob;
  }
}

/** The names of the blobs that a head names itself; it is damaged where that cannot be read. */
export function decodeHead(entry: Entry): Head {
  const result = headSchema.safeParse(parsed(entry.key, entry.value));
  if (!result.success) {
    const format = (parsed(entry.key, entry.value) as { format?: unknown } | null)?.format;
    if (typeof format === 'number' && format > FORMAT) {
      throw new Failure('unsupported', 'a newer Holdfast leads the cluster', {
        reason: `versions are of format ${format}, and this Holdfast knows ${FORMAT}`,
        remedy: 'upgrade Holdfast on this node; until then it keeps what it has',
      });
    }
    const issue = result.error.issues[0]!;
    throw damaged(entry.key, `${issue.path.join('.')}: ${issue.message}`);
  }
  const { digest, ...unsigned } = result.data;
  if (digestOf(unsigned) !== digest) throw damaged(entry.key, 'it has another digest than it says');
  return result.data;
}

/** A blob's value; undefined: it is not there (any more). */
export type ReadBlob = (digest: string) => Promise<string | undefined>;

/**
 * The version that a head names; undefined where a blob is gone: there is a newer head. Tables of `known` that are the same
 * blobs are the same arrays.
 */
export class VersionDecoder {
  #tables = new Map<string, Pick<Placement, 'current' | 'base' | 'period'>>();
  #names: readonly string[] = [];

  /** Blobs of the last version that was decoded. */
  get names(): readonly string[] {
    return this.#names;
  }

  async decode(entry: Entry, read: ReadBlob): Promise<Version | undefined> {
    const head = decodeHead(entry);
    const objectsText = await read(head.objects);
    const indexText = await read(head.index);
    if (objectsText === undefined || indexText === undefined) return undefined;
    const { revision, services, pools, backends } = jsonOf(head.objects, objectsText) as ObjectsBlob;
    const index = jsonOf(head.index, indexText) as IndexBlob;
    const tables = new Map<string, Pick<Placement, 'current' | 'base' | 'period'>>();
    const placements = new Map<number, Placement>();
    for (const { poolId, slots, table: name, periods } of index.placements) {
      let table = tables.get(name) ?? this.#tables.get(name);
      if (table === undefined) {
        const text = await read(name);
        if (text === undefined) return undefined;
        table = tableOf(name, text, slots);
      }
      tables.set(name, table);
      placements.set(poolId, { poolId, ...table, periods });
    }
    this.#tables = tables;
    this.#names = [head.objects, head.index, ...tables.keys()];
    const { number, cluster, leaderEpoch, digest } = head;
    return {
      number,
      cluster,
      leaderEpoch,
      digest,
      members: index.members,
      gone: index.gone,
      unnamedSince: new Map(index.unnamedSince),
      objects: {
        revision,
        services: new Map(services.map((it) => [it.name, it])),
        pools: new Map(pools.map((it) => [it.name, it])),
        backends: new Map(backends),
      },
      placements,
    };
  }
}

/** What no head names, with the version since which. */
export type Garbage = ReadonlyMap<string, number>;

/** Blobs that no head names stay for those who are so many versions behind. */
export const VERSIONS_READABLE = 64;
/**
 * As long as there are not more than these: the list is one value of the store, with room for them and twice for what a
 * version names. Who is behind and finds a part gone goes on with the newest version.
 */
export const BLOBS_UNNAMED_MAX = 8_192;

/** Of these, what is to be deleted before version `number`, which has `names`, is written. */
export function dueOf(garbage: Garbage, number: number, names: { has(digest: string): boolean }): string[] {
  const unnamed = [...garbage].filter(([digest]) => !names.has(digest)).sort(([, a], [, b]) => a - b);
  const surplus = unnamed.length - BLOBS_UNNAMED_MAX;
  return unnamed
    .filter(([, since], at) => at < surplus || since <= number - VERSIONS_READABLE)
    .map(([digest]) => digest);
}

export function encodeGarbage(garbage: Garbage): string {
  return JSON.stringify([...garbage]);
}

export function decodeGarbage(entry: Entry | undefined): Map<string, number> {
  if (entry === undefined) return new Map();
  const result = z.array(z.tuple([digestSchema, z.int()])).safeParse(parsed(entry.key, entry.value));
  // What is lost by it is room.
  return new Map(result.success ? result.data : []);
}

// --- blobs

type Blob = { readonly digest: string; readonly value: string };

function jsonBlob(content: object): Blob {
  return blobOf(deflateRawSync(JSON.stringify(content)).toString('base64'));
}

function blobOf(value: string): Blob {
  if (value.length > VALUE_BYTES_MAX) {
    throw new Failure(
      'limit',
      `a part of a version takes ${value.length} bytes in the store; at most ${VALUE_BYTES_MAX} are possible`,
      { remedy: 'have fewer objects, or fewer changes open at a time' },
    );
  }
  return { digest: sha256(value), value };
}

function jsonOf(digest: string, text: string): unknown {
  return parsed(digest, opened(digest, text, JSON_BYTES_MAX).toString());
}

function tableOf(
  digest: string,
  text: string,
  slots: number,
): Pick<Placement, 'current' | 'base' | 'period'> {
  const bytes = opened(digest, text, SLOT_BYTES * slots);
  if (bytes.length !== SLOT_BYTES * slots) throw damaged(digest, 'a slot table is cut short');
  const words = new Uint16Array(new Uint8Array(bytes.subarray(0, 4 * slots)).buffer);
  const current = words.slice(0, slots);
  const base = words.slice(slots);
  for (let slot = 0; slot < slots; slot++) base[slot]! ^= current[slot]!;
  return { current, base, period: new Uint8Array(bytes.subarray(4 * slots)) };
}

function opened(digest: string, text: string, bytesMax: number): Buffer {
  if (sha256(text) !== digest) throw damaged(digest, 'its content is not that of its name');
  try {
    return inflateRawSync(Buffer.from(text, 'base64'), { maxOutputLength: bytesMax });
  } catch (error) {
    throw damaged(digest, (error as Error).message, error);
  }
}

function digestOf(head: Omit<Head, 'digest'>): string {
  const { format, number, cluster, leaderEpoch, objects, index } = head;
  return sha256(JSON.stringify([format, number, cluster, leaderEpoch, objects, index]));
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function parsed(key: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw damaged(key, (error as Error).message, error);
  }
}
