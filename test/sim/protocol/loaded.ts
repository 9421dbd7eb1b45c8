// Owns loaded copies of the mux's program, for one history after the other: the kernel takes a quarter of a second to
// verify one, as long as ten thousand packets take. A copy that is given back has its tables emptied.
import { setImmediate } from 'node:timers/promises';
import type { BpfMap, LoadedObject } from 'libbpf-ts';
import { Observer } from '../../../control/dataplane/generated/layout.ts';
import type { MuxOptions } from '../../../control/dataplane/mux_object.ts';
import { openMux } from '../../../control/dataplane/mux_object.ts';

/** Kept for histories to come. */
const IDLE_MAX = 24;
/** Turns of the event loop after which nobody empties a table any more (control/dataplane/flow_reset.ts). */
const TURNS = 256;

export type Copy = { readonly name: string; readonly object: LoadedObject; readonly empty: () => void };

const idle: Copy[] = [];

/** A copy for these options; `name` says what differs between them. */
export function takeCopy(name: string, options: MuxOptions): Copy {
  const at = idle.findIndex((copy) => copy.name === name);
  if (at >= 0) return idle.splice(at, 1)[0]!;
  const object = openMux(options, Observer.OBSERVER_NONE).load();
  return { name, object, empty: emptierOf(object) };
}

/** Of a history that is over: no event of it happens any more. */
export async function giveBack(copies: readonly Copy[]): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await setImmediate();
  for (const copy of copies) copy.empty();
  idle.push(...copies);
  for (const { object } of idle.splice(0, Math.max(0, idle.length - IDLE_MAX))) object.close();
}

/** Brings all maps to what they are now. What is per CPU is in hand for one run only, and nobody captures here. */
function emptierOf(object: LoadedObject): () => void {
  const steps = [...object.maps.values()].flatMap((map): (() => void)[] => {
    if (map.info.name.includes('rodata')) return [];
    if (map.info.type === 'lru_hash') return [() => forgetKeys(map)];
    if (map.info.type !== 'array') return [];
    if (map.info.name === 'flow_table') return [() => zeroAll(map)];
    const bytes = new Uint8Array(map.mmap());
    if (bytes.every((byte) => byte === 0)) return [() => bytes.fill(0)];
    const before = bytes.slice();
    return [() => bytes.set(before)];
  });
  return () => {
    for (const step of steps) step();
  };
}

function forgetKeys(map: BpfMap): void {
  for (const key of [...map.keys()]) map.delete(key);
}

/** What has locks in it cannot be mapped. */
function zeroAll(map: BpfMap): void {
  const { maxEntries, valueBytes } = map.info;
  const keys = Uint32Array.from({ length: maxEntries }, (_, at) => at);
  map.updateBatch(keys, new Uint8Array(maxEntries * valueBytes), maxEntries);
}
