import { describe, expect, it } from 'vitest';
import { DEPARTED_MAX, DEPARTED_MS, Departed } from '../../../control/cluster/departed_core.ts';

const mux = (number: number) => ({ name: `mux${number}`, address: `10.0.0.${number}`, askPort: 7445 });
const places = (departed: Departed, nowMs: number) => departed.due(nowMs).map(({ address }) => address);

describe('muxes that are members no more', () => {
  it('are probed often enough to hear it, for a day', () => {
    const departed = new Departed();
    departed.members([mux(1), mux(2), mux(3)], 0);
    expect(places(departed, 0)).toEqual([]);
    departed.members([mux(1)], 1_000);
    expect(places(departed, 1_000)).toEqual(['10.0.0.2', '10.0.0.3']);
    expect(places(departed, 1_100)).toEqual([]);
    expect(places(departed, 1_150)).toEqual(['10.0.0.2', '10.0.0.3']);
    expect(places(departed, 999 + DEPARTED_MS)).toEqual(['10.0.0.2', '10.0.0.3']);
    expect(places(departed, 1_200 + DEPARTED_MS)).toEqual([]);
  });

  it('are no longer once they are back, wherever that is', () => {
    const departed = new Departed();
    departed.members([mux(1), mux(2)], 0);
    departed.members([mux(1)], 10);
    departed.members([mux(1), { ...mux(2), address: '10.0.0.9' }], 20);
    expect(places(departed, 30)).toEqual([]);
    departed.members([mux(1)], 40);
    expect(places(departed, 50)).toEqual(['10.0.0.9']);
  });

  it('are bounded', () => {
    const departed = new Departed();
    for (let number = 1; number <= DEPARTED_MAX + 10; number++) departed.members([mux(number)], number);
    expect(places(departed, 1_000)).toHaveLength(DEPARTED_MAX);
    expect(places(departed, 2_000)).not.toContain('10.0.0.1');
  });
});
