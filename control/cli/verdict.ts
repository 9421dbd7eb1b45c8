// Owns the colours of verdicts and reasons.
import type { Style } from './screen.ts';

const STYLES: Readonly<Record<string, Style>> = {
  FORWARD: 'green',
  DECAP: 'green',
  REPLY: 'cyan',
  DROP: ['bold', 'red'],
};

/** `reason` is a reason or a verdict, which is how each reason begins. */
export function verdictStyle(reason: string): Style | undefined {
  return STYLES[verdictOf(reason)];
}

function verdictOf(reason: string): string {
  return reason.split('_', 1)[0]!;
}
