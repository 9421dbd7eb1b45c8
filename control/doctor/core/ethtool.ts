// Owns reading what ethtool prints. Its text rather than its JSON: Debian 12's version has JSON for some of this only.
import type { Offload, Queues, Rings } from './facts.ts';

/** `ethtool -k`: `name: on|off [fixed]` a line, some indented. */
export function parseOffloads(text: string): Map<string, Offload> {
  const offloads = new Map<string, Offload>();
  for (const line of text.split('\n')) {
    const [, name, state, rest = ''] = /^\s*([\w-]+): (on|off)\b(.*)$/.exec(line) ?? [];
    if (name !== undefined) offloads.set(name, { on: state === 'on', fixed: rest.includes('[fixed]') });
  }
  return offloads;
}

/** `ethtool -l`; undefined where it is something else. */
export function parseQueues(text: string): Queues | undefined {
  const parts = parseParts(text);
  if (parts === undefined) return undefined;
  const { now, most } = parts;
  return {
    rx: now('RX'),
    tx: now('TX'),
    combined: now('Combined'),
    rxMax: most('RX'),
    txMax: most('TX'),
    combinedMax: most('Combined'),
  };
}

/** `ethtool -g`; undefined where it is something else. */
export function parseRings(text: string): Rings | undefined {
  const parts = parseParts(text);
  if (parts === undefined) return undefined;
  const { now, most } = parts;
  return { rx: now('RX'), rxMax: most('RX'), tx: now('TX'), txMax: most('TX') };
}

type Read = (name: string) => number;

/** Two lists of `name: number`, the limits first; `n/a` counts as none. */
function parseParts(text: string): { most: Read; now: Read } | undefined {
  const [, limits, current] = /^Pre-set maximums:\n(.*)^Current hardware settings:\n(.*)/ms.exec(text) ?? [];
  if (limits === undefined || current === undefined) return undefined;
  return { most: reader(limits), now: reader(current) };
}

function reader(list: string): Read {
  const values = new Map([...list.matchAll(/^([\w -]+):\s*(\d+)\s*$/gm)].map((it) => [it[1], Number(it[2])]));
  return (name) => values.get(name) ?? 0;
}
