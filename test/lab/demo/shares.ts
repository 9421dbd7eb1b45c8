// Owns what shares of connections should be, what they are, and whether chance explains the difference. Pure.

export type Share = {
  readonly backend: string;
  readonly connections: number;
  /** As the weights have it, of all connections there were. */
  readonly ideal: number;
  readonly deviationPercent: number;
  /** The deviation in standard deviations, had every connection chosen its backend by chance. */
  readonly sigmas: number;
};

/** With six backends, one run in some 100,000 has a backend beyond this by chance. */
export const SIGMAS_MAX = 5;
/** With fewer a comparison says little. */
export const CONNECTIONS_MIN = 300;

/** Every backend's part, also that of one which got nothing. */
export function sharesOf(
  perBackend: Readonly<Record<string, number>>,
  weights: ReadonlyMap<string, number>,
): Share[] {
  const total = sum(Object.values(perBackend));
  const weight = sum([...weights.values()]);
  return [...weights].map(([backend, own]) => {
    const connections = perBackend[backend] ?? 0;
    const part = weight === 0 ? 0 : own / weight;
    const ideal = total * part;
    const sigma = Math.sqrt(total * part * (1 - part));
    return {
      backend,
      connections,
      ideal: round(ideal),
      deviationPercent: ideal === 0 ? 0 : round((connections / ideal - 1) * 100),
      sigmas: sigma === 0 ? 0 : round(Math.abs(connections - ideal) / sigma),
    };
  });
}

/** The share that is furthest from its ideal. */
export function furthest(shares: readonly Share[]): Share {
  return shares.reduce((worst, share) => (share.sigmas > worst.sigmas ? share : worst));
}

/** Whether there were enough connections to tell, and all are where chance puts them. */
export function areAsWeighted(shares: readonly Share[]): boolean {
  const total = sum(shares.map(({ connections }) => connections));
  const unexpected = shares.some(({ ideal, connections }) => ideal === 0 && connections > 0);
  return total >= CONNECTIONS_MIN && !unexpected && furthest(shares).sigmas <= SIGMAS_MAX;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
