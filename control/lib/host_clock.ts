// Owns the port through which leases of processes of one host read time. Its implementation is control/io/host_clock.ts.

export interface HostClock {
  /** Never set, only counts: all processes of the host read the same, from its start on. */
  nowMs(): number;
  /** Another one each time the host starts: times of one boot say nothing in the next. */
  readonly bootId: string;
}
