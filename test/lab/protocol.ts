// Owns what the lab asks of a client's process and what that answers: JSON, a line each, numbered.

/** Requests, each over a connection of its own. */
export interface RequestLoad {
  readonly addresses: readonly string[];
  readonly count: number;
  readonly concurrency: number;
  readonly timeoutMs: number;
}

export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface LoadResult {
  readonly succeeded: number;
  readonly failed: number;
  /** How often each thing went wrong. */
  readonly failures: Readonly<Record<string, number>>;
  readonly perBackend: Readonly<Record<string, number>>;
  readonly latency: Latency;
  readonly durationMs: number;
}

/** Requests without end, each over a connection of its own. One whose connection breaks is sent once more. */
export interface Traffic {
  readonly addresses: readonly string[];
  readonly concurrency: number;
  readonly timeoutMs: number;
  /** From one request to the next of those that are made one after the other; absent: none waits. */
  readonly intervalMs?: number;
}

/** A TCP connection, as its client sees it. */
export interface Connection {
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
}

export interface BrokenRequest extends Connection {
  readonly error: string;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
}

/** What became of the requests that began in a period. */
export interface TrafficPeriod {
  readonly result: LoadResult;
  /** Attempts that failed, of which the first of a request is followed by another; some at most (client/traffic.ts). */
  readonly broken: readonly BrokenRequest[];
  readonly sentAgain: number;
}

export interface DatagramLoad extends RequestLoad {
  readonly sizeBytes: number;
}

/** Datagrams of one flow at a steady rate, each with a number that comes back. */
export interface Stream {
  readonly address: string;
  readonly sourcePort: number;
  readonly packetsPerSecond: number;
}

export interface StreamResult {
  readonly sent: number;
  readonly received: number;
  /** Longest time in which no answer came, between the first and the last. */
  readonly gapMs: number;
  /** When that time began, in milliseconds since the epoch. */
  readonly gapAtMs: number;
  /** Of which backends answers came. */
  readonly perBackend: Readonly<Record<string, number>>;
}

export interface Transfer {
  readonly address: string;
  readonly direction: 'download' | 'upload';
  readonly sizeBytes: number;
  readonly timeoutMs: number;
}

export interface TransferResult {
  readonly backend: string;
  readonly intact: boolean;
  readonly sizeBytes: number;
  readonly durationMs: number;
}

/** Connections that stay open and send and check their stream all the time. */
export interface Hold {
  readonly addresses: readonly string[];
  readonly connections: number;
  readonly chunkBytes: number;
  readonly intervalMs: number;
}

export interface HoldStatus {
  readonly held: number;
  readonly broken: number;
  readonly failures: Readonly<Record<string, number>>;
  /** Checked round trips of the connection that has made the fewest, and of all. */
  readonly fewestRounds: number;
  readonly rounds: number;
  readonly perBackend: Readonly<Record<string, number>>;
}

export interface HeldConnection extends Connection {
  readonly backend: string;
  readonly failure?: string;
  /** Milliseconds since the epoch. */
  readonly brokenAtMs?: number;
}

export interface Probe {
  readonly address: string;
  /** Set once the connection stands; the request then takes the mux of this class. */
  readonly trafficClass: number;
  readonly timeoutMs: number;
}

export interface ProbeResult {
  readonly backend: string;
  readonly roundTripMs: number;
}

type Nothing = Record<string, never>;

export interface Operations {
  readonly requests: { readonly argument: RequestLoad; readonly result: LoadResult };
  readonly datagrams: { readonly argument: DatagramLoad; readonly result: LoadResult };
  /** Several at a time, by source port. */
  readonly startStream: { readonly argument: Stream; readonly result: Nothing };
  /** Since it was started or asked for last. */
  readonly streamStatus: {
    readonly argument: { readonly sourcePort: number };
    readonly result: StreamResult;
  };
  /** After the last answer has had time to come. */
  readonly stopStream: { readonly argument: { readonly sourcePort: number }; readonly result: StreamResult };
  readonly transfer: { readonly argument: Transfer; readonly result: TransferResult };
  readonly probe: { readonly argument: Probe; readonly result: ProbeResult };
  readonly hold: { readonly argument: Hold; readonly result: HoldStatus };
  /** All held connections take the mux of this class from now on; returns after a checked round trip of each. */
  readonly steerHeld: { readonly argument: { readonly trafficClass: number }; readonly result: HoldStatus };
  readonly heldStatus: { readonly argument: Nothing; readonly result: HoldStatus };
  readonly heldConnections: { readonly argument: Nothing; readonly result: readonly HeldConnection[] };
  readonly release: { readonly argument: Nothing; readonly result: HoldStatus };
  readonly startTraffic: { readonly argument: Traffic; readonly result: Nothing };
  /** Requests that begin from now on belong to a new period. */
  readonly markTraffic: { readonly argument: Nothing; readonly result: Nothing };
  /** Of the last period so far; null while there is no traffic. */
  readonly trafficStatus: { readonly argument: Nothing; readonly result: TrafficPeriod | null };
  /** Returns all periods when the last request has ended. */
  readonly stopTraffic: { readonly argument: Nothing; readonly result: readonly TrafficPeriod[] };
}
export type OperationName = keyof Operations;

export interface Call {
  readonly id: number;
  readonly operation: OperationName;
  readonly argument: unknown;
}

export type Reply = { readonly id: number } & ({ readonly result: unknown } | { readonly error: string });
