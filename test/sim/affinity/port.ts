// Owns what the world and a server know of each other: the model of a server (server.ts) stands behind it, and the real
// program by BPF_PROG_TEST_RUN can. Times are simulated nanoseconds; whoever reads a clock is not here.

export const MS = 1_000_000;
export const SECOND = 1_000 * MS;

/** Hops of a query: HOLDERS_MAX and the way home. */
export const HOPS_MAX = 9;
export const HOLDERS_MAX = 8;
export const NOBODY = 0;

export type PacketKind = 'syn' | 'data' | 'datagram';

export type Packet = {
  readonly id: number;
  readonly kind: PacketKind;
  /** Client with affinity; client and port without. */
  readonly key: number;
  readonly bucket: number;
  /** The connection's 5-tuple. */
  readonly tuple: number;
};

/** It can be the first of a client. */
export function begins({ kind }: Packet): boolean {
  return kind !== 'data';
}

export type Peer = { readonly server: number; readonly incarnation: number };

/** `of`: the table has the client; or only the kernel has the connection. */
export type Answer = Peer & { readonly of: 'client' | 'connection' };

/** A bucket as a version has it. */
export type Slot = {
  readonly current: number;
  /** The server that is being released, and answers new clients until it is; else `current`. */
  readonly base: number;
  readonly tracked: boolean;
  /** Of the list of holders; 0 while clean. Each change of the list has a number of its own. */
  readonly record: number;
  readonly holders: readonly Peer[];
};

export type Version = {
  readonly number: number;
  /** Incarnations by server. */
  readonly members: ReadonlyMap<number, number>;
  readonly slots: readonly Slot[];
};

/** The header in front of a packet that asks. */
export type Query = {
  readonly asker: Peer;
  readonly version: number;
  readonly record: number;
  readonly sentNs: number;
  readonly hops: number;
  /** Still to be asked, in this order. */
  readonly ahead: readonly number[];
  /** Only who has the connection itself may say so. */
  readonly isOfConnection: boolean;
  /** Only one is asked: who was said to have the client when it was handed over. */
  readonly isHint: boolean;
  readonly answer: Answer | undefined;
};

export type Outcome =
  | { readonly kind: 'pass'; readonly reason: string }
  | { readonly kind: 'drop'; readonly reason: string }
  | { readonly kind: 'send'; readonly reason: string; readonly to: number; readonly query: Query };

/** Connections of the host's own stack, by 5-tuple; listeners are none. */
export type Sockets = {
  has(tuple: number): boolean;
  clientsOf(bucket: number): readonly number[];
};

export type Settings = {
  /** An affinity ends so long after the client's last packet. */
  readonly timeoutNs: number;
  readonly affinitiesMax: number;
};

export type FilterServer = {
  readonly id: number;
  /** A packet for the service address, as every server hears it. */
  hear(packet: Packet, nowNs: number): Outcome;
  /** One with a header in front, from another server. */
  query(query: Query, packet: Packet, nowNs: number): Outcome;
  apply(version: Version): void;
  readonly version: number;
  setDeadline(deadlineNs: number): void;
  /** Whether a bucket has a live affinity here. */
  holds(bucket: number, nowNs: number): boolean;
  /** Clients of a bucket, to be handed over; and those of another server. */
  clientsOf(bucket: number, nowNs: number): readonly number[];
  learn(key: number, from: Peer, nowNs: number): void;
};
