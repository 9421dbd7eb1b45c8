// Owns what must hold of every history: each request is answered by one server, no connection of a living server is reset, a
// client stays where it is. Judges what the world tells it; changes nothing.

export const FINDINGS = {
  double: 'two servers answered one request',
  unanswered: 'nobody answered a packet of which no copy and no query was lost',
  unserved: 'a request was never answered, however often it was sent',
  reset: 'a server reset a connection that another, which is alive, has',
  moved: 'a client was answered by another server than the one that has its session',
} as const;
export type FindingKind = keyof typeof FINDINGS;

export type Finding = {
  readonly kind: FindingKind;
  readonly atNs: number;
  readonly key: number;
  readonly bucket: number;
  readonly text: string;
};

/** After so many the rest is a consequence. */
const FINDINGS_MAX = 10_000;

export class Oracle {
  readonly findings: Finding[] = [];

  report(finding: Finding): void {
    if (this.findings.length < FINDINGS_MAX) this.findings.push(finding);
  }

  get counts(): Readonly<Record<FindingKind, number>> {
    const counts = { double: 0, unanswered: 0, unserved: 0, reset: 0, moved: 0 };
    for (const { kind } of this.findings) counts[kind]++;
    return counts;
  }
}
