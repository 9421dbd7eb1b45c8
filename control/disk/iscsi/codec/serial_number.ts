// Owns arithmetic of sequence numbers (RFC 7143, section 4.2.2; RFC 1982): 32 bits that wrap.

export function serialAdd(number: number, count: number): number {
  return (number + count) >>> 0;
}

/** How far `to` lies behind `from`: negative in front of it. */
export function serialDistance(from: number, to: number): number {
  return (to - from) | 0;
}
