// Owns what is said of nodes that could not be asked: what is missing, why, and how to ask there.
import type { Unanswered } from '../api/schema.ts';
import type { Screen } from './screen.ts';
import { facts } from './table.ts';
import { wrapped } from './wrap.ts';

/** Those with the same cause together. */
export function unansweredTexts(screen: Screen, unanswered: readonly Unanswered[]): string[] {
  return [...Map.groupBy(unanswered, ({ failure }) => failure.cause)].map(([cause, all]) => {
    const [{ failure } = { failure: undefined }] = all;
    const names = all.map(({ node }) => node).join(', ');
    return facts(screen, [
      ['missing', screen.paint('yellow', `what ${names} ${all.length === 1 ? 'keeps' : 'keep'}`)],
      ['cause', cause && wrapped(cause, 9, screen.columns)],
      ['remedy', failure?.remedy && wrapped(failure.remedy, 9, screen.columns)],
    ]);
  });
}
