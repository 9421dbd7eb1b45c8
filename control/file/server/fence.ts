// Owns the contract of what stops this server when its node may have lost its membership: a timer of the kernel, which ends
// the process also while it hangs, wound up at each renewal.
export interface Fence {
  /** The server may go on until then, by the monotonic clock. */
  hold(untilMs: number): void;
}

/** A node whose storage no other node serves needs none. */
export const NO_FENCE: Fence = { hold: () => {} };
