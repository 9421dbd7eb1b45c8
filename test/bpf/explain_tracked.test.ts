// Explaining changes nothing, whatever the packet: every table is the same to the byte, also where the program that
// forwards changes one for it. Two programs are prepared alike; one forwards, the other one explains.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explanationCodec, Observer, REASON_NAMES } from '../../control/dataplane/generated/layout.ts';
import { CARRIED, CLIENTS, type ExplainRow, MESSAGES } from './cases/explain_tracked.ts';
import { ClusterMux } from './lib/cluster_mux.ts';
import { hex } from './lib/rig.ts';
import { BASE, CURRENT } from './lib/tracked_case.ts';
import { BACKENDS, SITE } from './lib/tracked_mux.ts';

/** What a program writes while it works on one packet, and what it leaves of it. */
const IN_HAND = ['packet_in_hand', 'ask_in_hand', 'flow_request_in_hand', 'bucket_in_hand'];
const LEFT = ['.data.explanation'];
/** Where copies of packets go, for an observer of another kind. */
const CAPTURES = ['captures'];
const OUTSIDE: ReadonlySet<string> = new Set([...IN_HAND, ...LEFT, ...CAPTURES]);

/** Every byte of every table. */
function tablesOf(mux: ClusterMux): Map<string, Buffer> {
  const tables = new Map<string, Buffer>();
  for (const [name, map] of mux.object.maps) {
    // Constants are frozen.
    if (OUTSIDE.has(name) || name.startsWith('.rodata')) continue;
    if (name === 'fragments')
      tables.set(name, Buffer.concat([...map.entries()].flat().map((it) => Buffer.from(it))));
    else if (name === 'flow_table')
      tables.set(
        name,
        Buffer.concat(
          Array.from({ length: map.info.maxEntries }, (_, index) => map.lookup(Uint32Array.of(index))!),
        ),
      );
    else tables.set(name, Buffer.from(mux.map(name).mmap().slice(0)));
  }
  return tables;
}

function changed(before: Map<string, Buffer>, after: Map<string, Buffer>): string[] {
  return [...before].filter(([name, bytes]) => !bytes.equals(after.get(name)!)).map(([name]) => name);
}

describe('explaining', () => {
  let live: ClusterMux;
  let explained: ClusterMux;
  /** Afresh for each row: what a row leaves in tables must not hide what it changes. */
  beforeAll(() => {
    live = ClusterMux.make();
    explained = ClusterMux.make({ observer: Observer.OBSERVER_EXPLAIN });
  });
  afterAll(() => {
    live?.close();
    explained?.close();
  });

  function prepare(mux: ClusterMux, row: ExplainRow): Uint8Array {
    mux.reset();
    for (const [key] of [...mux.map('fragments').entries()]) mux.map('fragments').delete(key);
    for (const backend of BACKENDS) mux.setBackend(backend, { present: true });
    if (row.chain !== undefined) mux.setSlots('tcp', CURRENT, BASE, row.chain);
    mux.setPool(SITE.tcp.pool, SITE.tcp.slotBase, SITE.tcp.slotCount);
    row.before?.(mux);
    return row.frame(mux);
  }

  for (const [kind, rows] of Object.entries({
    'a packet': CLIENTS,
    'a packet in a header': CARRIED,
    'a message': MESSAGES,
  }))
    it.each(rows.map((row) => [row.name, row] as const))(`${kind} changes nothing: %s`, (_, row) => {
      const input = prepare(live, row);
      const liveBefore = tablesOf(live);
      const { verdict, output, counted } = live.judge(input);
      expect(counted, 'forwarding').toHaveProperty(row.reason);
      expect(changed(liveBefore, tablesOf(live)).sort(), 'forwarding').toEqual(
        ['counters', ...row.changes].sort(),
      );

      expect(prepare(explained, row)).toEqual(input);
      const before = tablesOf(explained);
      const said = explained.run(input);
      expect(changed(before, tablesOf(explained)), 'explaining').toEqual([]);
      const left = explanationCodec.read(explained.view('.data.explanation'), 0);
      expect(REASON_NAMES[left.reason]).toBe(row.reason);
      expect(said.verdict).toBe(verdict);
      expect(hex(said.output), 'frame').toBe(hex(output));
    });
});
