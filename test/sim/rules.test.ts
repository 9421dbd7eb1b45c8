// The rules that compare what happened at two moments, by themselves.
import { describe, expect, it } from 'vitest';
import type { ClusterState } from '../../control/config/cluster_state.ts';
import { planEdits } from '../../control/pool/edits.ts';
import { FlowRules, Versions } from './lib/flow_rules.ts';
import { Judgement } from './lib/judgement.ts';
import type { FlowAction } from './lib/scenario.ts';
import { Schedule } from './lib/schedule.ts';
import { backendOn, firstState, HOSTS, slotBaseOf } from './lib/site.ts';
import { flowOfAction, type Packet, segment } from './lib/traffic.ts';

const first = firstState({ web: [0, 1], any: [0] });
const second = planEdits(first, [{ kind: 'putBackend', backend: backendOn('web', 2, 100) }], {
  force: false,
}).after;

function setUp() {
  const judgement = new Judgement({}, () => 0);
  const versions = new Versions(first);
  versions.publish(second);
  return {
    judgement,
    rules: new FlowRules(versions, judgement),
    kinds: () => judgement.violations.map(({ kind }) => kind),
  };
}

/** A connection whose slot does or does not move with the second version. */
function connection(moves: boolean): Packet {
  const address = (state: ClusterState, slot: number): number =>
    state.tables.get('web')!.slots[slot - slotBaseOf('web')]!;
  for (let id = 1; ; id++) {
    const action: FlowAction = {
      kind: 'flow',
      atNs: 0,
      id,
      protocol: 'tcp',
      destination: '203.0.113.10',
      port: 80,
      messages: 1,
      gapNs: 0,
      sizeBytes: 0,
    };
    const flow = flowOfAction(action);
    if ((address(first, flow.slot) !== address(second, flow.slot)) === moves)
      return segment(flow, 'data', 1, 1);
  }
}

const at = (version: number, isApplying = false) => ({ name: `mux at ${version}`, version, isApplying });
const [ONE, , THREE] = HOSTS.map(({ address }) => address) as [string, string, string];

describe('a flow', () => {
  it('may move when its slot does, whatever the muxes have by then', () => {
    const { rules, kinds } = setUp();
    const packet = connection(true);
    const before = new Versions(first).addressOf(packet.flow!, 1);
    rules.forwarded(packet, at(1), before);
    rules.forwarded(packet, at(1, true), THREE);
    rules.forwarded(packet, at(2), THREE);
    rules.forwarded(packet, at(1), before);
    expect(kinds()).toEqual([]);
  });

  it('may not move when its slot does not', () => {
    const { rules, kinds } = setUp();
    const packet = connection(false);
    rules.forwarded(packet, at(1), new Versions(first).addressOf(packet.flow!, 1));
    rules.forwarded(packet, at(2), THREE);
    expect(kinds()).toEqual(['moved']);
  });

  it('has one backend in one version', () => {
    const { rules, kinds } = setUp();
    const packet = connection(true);
    rules.forwarded(packet, at(2), THREE);
    rules.forwarded(packet, at(2), ONE);
    expect(kinds()).toContain('disagreement');
  });

  it('stays with its server, but for segments that begin it', () => {
    const { rules, kinds } = setUp();
    const packet = connection(false);
    const client = {
      flow: packet.flow!,
      end: 'open' as const,
      server: 1,
      start() {},
      take() {},
      reached() {},
    };
    rules.delivered(packet, 1, client);
    rules.delivered(segment(packet.flow!, 'syn', 0, 2), 0, client);
    expect(kinds()).toEqual([]);
    rules.delivered(packet, 0, client);
    expect(kinds()).toEqual(['misdirected']);
  });
});

describe('the schedule', () => {
  it('runs events in order of time, then of asking', async () => {
    const schedule = new Schedule();
    const order: string[] = [];
    for (const [name, delayNs] of [
      ['c', 20],
      ['a', 5],
      ['b', 5],
      ['d', 20],
    ] as const) {
      schedule.after(delayNs, () => void order.push(`${name} ${schedule.nowNs}`));
    }
    schedule.after(10, () => schedule.after(0, () => void order.push(`later ${schedule.nowNs}`)));
    expect(await schedule.run(() => false)).toBe(true);
    expect(order).toEqual(['a 5', 'b 5', 'later 10', 'c 20', 'd 20']);
  });

  it('ends what would never end', async () => {
    const schedule = new Schedule();
    const again = (): void => schedule.after(1, again);
    again();
    expect(await schedule.run(() => false)).toBe(false);
  });
});
