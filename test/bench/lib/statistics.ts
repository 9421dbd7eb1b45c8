// Owns the two numbers that stand for a series of measurements: the median, and the distance between the quartiles.
// Both shrug off the outliers of a shared machine, which a mean and a deviation do not.

export interface Statistics {
  readonly median: number;
  /** Distance between the first and the third quartile. */
  readonly spread: number;
  readonly min: number;
  readonly max: number;
}

export function statistics(samples: readonly number[]): Statistics {
  if (samples.length === 0) throw new RangeError('a series of measurements has at least one');
  const wrong = samples.find((sample) => !Number.isFinite(sample));
  if (wrong !== undefined) throw new RangeError(`a measurement is a finite number, got ${wrong}`);
  const sorted = samples.toSorted((left, right) => left - right);
  return {
    median: quantile(sorted, 0.5),
    spread: quantile(sorted, 0.75) - quantile(sorted, 0.25),
    min: sorted[0]!,
    max: sorted.at(-1)!,
  };
}

export function median(samples: readonly number[]): number {
  return statistics(samples).median;
}

/** Interpolates linearly between neighbours (type 7 of Hyndman and Fan, as in R and NumPy). */
function quantile(sorted: readonly number[], fraction: number): number {
  const position = (sorted.length - 1) * fraction;
  const below = Math.floor(position);
  const lower = sorted[below]!;
  const upper = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return lower + (upper - lower) * (position - below);
}
