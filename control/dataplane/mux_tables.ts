// Owns bringing a mux's tables to a desired state in an order in which no packet is lost or sent wrongly: what is
// pointed at is written before what points at it, and taken away a grace period after. Everything that can fail for
// want of room is planned before the first write. Not here: how each table writes a change (the tables).
import { Failure } from '../lib/failure.ts';
import { type BackendConfig, type BackendTable, isSameDestination } from './backend_table.ts';
import type { DesiredMux, DesiredService } from './desired.ts';
import { Limit } from './generated/layout.ts';
import type { GracePeriods } from './grace.ts';
import { type ServerIdChange, type ServerIdTable, ServerIdTableFullError } from './server_id_table.ts';
import { addressKey, plainFields, serviceFields, serviceKey } from './service_record.ts';
import {
  nameOf,
  type ServiceRecord,
  type ServiceRound,
  type ServiceTable,
  ServiceTableFullError,
} from './service_table.ts';
import { placeRanges, type SlotRange, type SlotTable } from './slot_table.ts';
import type { Traffic } from './traffic.ts';

/** What an apply has written; all zero where the tables said it already. */
export type Applied = {
  revision: number;
  services: { added: number; changed: number; removed: number };
  backends: { added: number; changed: number; removed: number };
  slots: number;
  serverIds: number;
  gracePeriods: number;
};

export type MuxTablesParts = {
  services: ServiceTable;
  backends: BackendTable;
  serverIds: ServerIdTable;
  slots: SlotTable;
  traffic: Traffic;
  grace: GracePeriods;
};

type Plan = {
  ranges: ReadonlyMap<number, SlotRange>;
  rounds: readonly ServiceRound[];
  serverIds: readonly ServerIdChange[];
};

/** Grace periods that one change may need, one after the other, before something is wrong. */
const GRACE_PERIODS_MAX = 64;

export class MuxTables {
  readonly #parts: MuxTablesParts;

  constructor(parts: MuxTablesParts) {
    this.#parts = parts;
  }

  /** @throws Failure; what cannot be applied is found before anything is written. */
  async apply(desired: DesiredMux): Promise<Applied> {
    const { services, traffic, serverIds } = this.#parts;
    const applied = newApplied(desired.revision);
    await this.#settleServices(applied);
    for (const [index, config] of desired.backends) this.#parts.backends.check(index, config);
    const plan = await this.#planWithRoom(desired, applied);
    applied.serverIds = plan.serverIds.length;

    // Backends, then what points at them. What still leads elsewhere is pointed at once it has changed.
    const later = this.#writeBackends(desired.backends, applied);
    const isReady = (backend: number): boolean => !later.has(backend);
    applied.slots += this.#writeSlots(desired, plan, isReady);
    for (const it of plan.serverIds) if (it.backend === undefined || isReady(it.backend)) serverIds.set(it);
    if (later.size > 0) {
      await this.#replaceBackends(later, applied);
      applied.slots += this.#writeSlots(desired, plan, () => true);
      for (const it of plan.serverIds) if (!isReady(it.backend ?? 0)) serverIds.set(it);
    }
    const written = this.#parts.grace.mark();

    for (const round of plan.rounds) await this.#writeRound(round, applied);
    const removed = this.#parts.backends.indexes().filter((index) => !desired.backends.has(index));
    if (removed.length > 0 && !this.#parts.grace.passed(written)) await this.#wait(applied);
    for (const index of removed) this.#parts.backends.delete(index);
    applied.backends.removed = removed.length;

    const owners = new Set([...desired.backends].map(([index, config]) => ownerOf(index, config.generation)));
    const gone = traffic.backends.owners().filter((owner) => !owners.has(owner));
    for (const owner of gone) traffic.backends.closes(owner);
    const known = new Set([...services.entries()].map(({ key }) => nameOf(key)));
    const left = traffic.services.owners().filter((owner) => !known.has(owner));
    for (const owner of left) traffic.services.closes(owner);
    if (gone.length + left.length + plan.rounds.length > 0) traffic.save();
    return applied;
  }

  /** New ways to backends that are in the table; what leads to another destination by now is left alone. */
  async setPaths(configs: ReadonlyMap<number, BackendConfig>): Promise<number> {
    const { backends } = this.#parts;
    const changed = new Map(
      [...configs].filter(([index, config]) => {
        const known = backends.get(index);
        return known !== undefined && isSameDestination(known, config) && backends.differs(index, config);
      }),
    );
    await this.setBackends(changed);
    return changed.size;
  }

  /** Writes backends, whatever stands there now. */
  async setBackends(configs: ReadonlyMap<number, BackendConfig>): Promise<void> {
    for (const [index, config] of configs) this.#parts.backends.check(index, config);
    const applied = newApplied(0);
    const later = this.#writeBackends(configs, applied);
    if (later.size > 0) await this.#replaceBackends(later, applied);
  }

  removeBackend(index: number): void {
    this.#parts.backends.delete(index);
    const mine = this.#parts.traffic.backends.owners().filter((owner) => owner.startsWith(`${index}.`));
    for (const owner of mine) this.#parts.traffic.backends.closes(owner);
  }

  /** Adds or replaces one record. */
  async setService(record: ServiceRecord): Promise<void> {
    const { services } = this.#parts;
    const applied = newApplied(0);
    if (!services.isSettled) await this.#settleServices(applied);
    if (!services.differs(record)) return;
    const round = { puts: [{ ...record, place: services.freePlace(record.key) }], removals: [] };
    await this.#writeRound(round, applied);
    this.#parts.traffic.save();
  }

  async removeServices(keys: readonly ServiceRecord['key'][]): Promise<void> {
    await this.#writeRound({ puts: [], removals: [...keys] }, newApplied(0));
    for (const key of keys) this.#parts.traffic.services.closes(nameOf(key));
    this.#parts.traffic.save();
  }

  /** Waits until nothing of what was withdrawn is acted on any more. */
  settle(): Promise<void> {
    return this.#settleServices(newApplied(0));
  }

  /** Makes the accounts those of what stands in the tables, which a process that died may have left otherwise. */
  adoptTraffic(): void {
    const { services, backends, traffic } = this.#parts;
    const serviceOwners = new Map([...services.entries()].map(({ key, place }) => [nameOf(key), place]));
    const backendOwners = new Map(
      backends.indexes().map((index) => [ownerOf(index, backends.generation(index)), index]),
    );
    for (const [ledger, owners] of [
      [traffic.services, serviceOwners],
      [traffic.backends, backendOwners],
    ] as const) {
      for (const [owner, place] of owners) ledger.settles(owner, place);
      for (const owner of ledger.owners()) if (!owners.has(owner)) ledger.closes(owner);
    }
  }

  /**
   * A plan, after making room where there is none beside what goes. Services that are not wanted go first then, which
   * is not the order that this file is about, but the state that is wanted cannot be reached otherwise.
   */
  async #planWithRoom(desired: DesiredMux, applied: Applied): Promise<Plan> {
    const held = this.#ranges(() => true);
    const sizes = poolSizes(desired);
    const ranges = placeRanges(held, sizes, this.#parts.slots.capacity);
    if (ranges !== undefined) return this.#plan(desired, ranges);

    const wanted = new Set(desired.services.map((it) => nameOf(serviceKey(it))));
    const kept = this.#ranges((name) => wanted.has(name));
    const later = placeRanges(kept, sizes, this.#parts.slots.capacity);
    if (later === undefined) throw this.#noSlots(sizes);
    this.#plan(desired, later);
    const removals = [...this.#parts.services.entries()]
      .filter(({ key, fields }) => fields.slot_count > 0 && !wanted.has(nameOf(key)))
      .map(({ key }) => key);
    await this.#writeRound({ puts: [], removals }, applied);
    return this.#planWithRoom(desired, applied);
  }

  #plan(desired: DesiredMux, ranges: ReadonlyMap<number, SlotRange>): Plan {
    const rounds = this.#planServices(recordsOf(desired.services, ranges));
    try {
      return { ranges, rounds, serverIds: this.#parts.serverIds.plan(desired.serverIds) };
    } catch (cause) {
      if (!(cause instanceof ServerIdTableFullError)) throw cause;
      throw new Failure('limit', 'the index of QUIC server IDs has no room for all of them', {
        cause,
        remedy: 'use other server IDs, or fewer',
      });
    }
  }

  #planServices(records: readonly ServiceRecord[]): ServiceRound[] {
    try {
      return this.#parts.services.plan(records);
    } catch (cause) {
      if (!(cause instanceof ServiceTableFullError)) throw cause;
      throw new Failure('limit', `the service table has no room for ${records.length} services`, {
        cause,
        remedy: `remove services: the table is made for a quarter of its ${Limit.LIMIT_SERVICES} places`,
      });
    }
  }

  /** Ranges of the pools of services in the table, by pool; those withdrawn included, unless `isWanted` says no. */
  #ranges(isWanted: (name: string) => boolean): Map<number, SlotRange[]> {
    const ranges = new Map<number, SlotRange[]>();
    for (const { key, fields } of this.#parts.services.inUse()) {
      if (fields.slot_count === 0 || !isWanted(nameOf(key))) continue;
      const { pool, slot_base: base, slot_count: count } = fields;
      const known = ranges.get(pool) ?? [];
      if (!known.some((it) => it.base === base && it.count === count)) known.push({ base, count });
      ranges.set(pool, known);
    }
    return ranges;
  }

  /**
   * Writes what can be written at once and returns the rest: records that lead to another destination still, or did
   * until a moment ago, and next hops that packets may be using.
   */
  #writeBackends(configs: ReadonlyMap<number, BackendConfig>, applied: Applied): Map<number, BackendConfig> {
    const { backends } = this.#parts;
    const later = new Map<number, BackendConfig>();
    const now = new Map<number, BackendConfig>();
    for (const [index, config] of configs) {
      const known = backends.get(index);
      if (known !== undefined && !isSameDestination(known, config)) later.set(index, config);
      else if (backends.differs(index, config)) now.set(index, config);
      else continue;
      if (known === undefined) applied.backends.added++;
      else applied.backends.changed++;
    }
    this.#joinBackends(now);
    for (const [index, config] of now) if (!backends.set(index, config)) later.set(index, config);
    return later;
  }

  /** What packets are on now is first left by those that can go elsewhere, then changes. */
  async #replaceBackends(configs: ReadonlyMap<number, BackendConfig>, applied: Applied): Promise<void> {
    const { backends } = this.#parts;
    let left = configs;
    for (let periods = 0; left.size > 0; periods++) {
      if (periods > GRACE_PERIODS_MAX) throw new Error(`backends ${[...left.keys()]} do not come to rest`);
      await this.#wait(applied);
      const quiet = new Map([...left].filter(([index]) => backends.get(index) === undefined));
      this.#joinBackends(quiet);
      left = new Map([...left].filter(([index, config]) => !backends.set(index, config)));
    }
  }

  #joinBackends(configs: ReadonlyMap<number, BackendConfig>): void {
    const { traffic } = this.#parts;
    let isNew = false;
    for (const [index, config] of configs)
      isNew = traffic.backends.joins(ownerOf(index, config.generation), index) || isNew;
    if (isNew) traffic.save();
  }

  #writeSlots(desired: DesiredMux, plan: Plan, isReady: (backend: number) => boolean): number {
    let slots = 0;
    for (const [pool, { base }] of plan.ranges)
      slots += this.#parts.slots.write(base, desired.pools.get(pool)!, isReady);
    return slots;
  }

  async #writeRound(round: ServiceRound, applied: Applied): Promise<void> {
    const { services, traffic } = this.#parts;
    let isNew = false;
    for (const { key, place } of round.puts) isNew = traffic.services.joins(nameOf(key), place) || isNew;
    if (isNew) traffic.save();
    const balances = (key: ServiceRecord['key']): boolean => (services.find(key)?.fields.slot_count ?? 0) > 0;
    for (const { key, fields, place } of round.puts) {
      if (fields.slot_count > 0) applied.services[balances(key) ? 'changed' : 'added']++;
      else if (balances(key)) applied.services.removed++;
      services.put(key, fields, place);
    }
    for (const key of round.removals) {
      if (balances(key)) applied.services.removed++;
      services.delete(key);
    }
    await this.#settleServices(applied);
    for (const { key, place } of round.puts) traffic.services.settles(nameOf(key), place);
  }

  async #settleServices(applied: Applied): Promise<void> {
    const { services } = this.#parts;
    services.settle();
    for (let periods = 0; !services.isSettled; periods++) {
      if (periods > GRACE_PERIODS_MAX) throw new Error('the service table does not come to rest');
      await this.#wait(applied);
      services.settle();
    }
  }

  async #wait(applied: Applied): Promise<void> {
    await this.#parts.grace.wait();
    applied.gracePeriods++;
  }

  #noSlots(sizes: ReadonlyMap<number, number>): Failure {
    const { capacity } = this.#parts.slots;
    const needed = [...sizes.values()].reduce((sum, it) => sum + it, 0);
    return new Failure('limit', `${sizes.size} pools do not fit the ${capacity} slots of this node`, {
      reason: needed > capacity ? `they have ${needed} slots` : 'no gap between the others is large enough',
      remedy: "raise slotCapacity in the node's configuration and restart the daemon, or remove pools",
    });
  }
}

const newApplied = (revision: number): Applied => ({
  revision,
  services: { added: 0, changed: 0, removed: 0 },
  backends: { added: 0, changed: 0, removed: 0 },
  slots: 0,
  serverIds: 0,
  gracePeriods: 0,
});

/** Another backend at the same index starts from zero. */
export const ownerOf = (index: number, generation = 0): string => `${index}.${generation}`;

/** Slots of each pool that a service has. @throws Failure where a pool has no table. */
function poolSizes(desired: DesiredMux): Map<number, number> {
  return new Map(
    desired.services.map(({ name, poolId }) => {
      const slots = desired.pools.get(poolId);
      if (slots === undefined) {
        throw new Failure('internal', `service ${name} has pool ${poolId}, which has no table of slots`);
      }
      return [poolId, slots.length];
    }),
  );
}

/** The records of services and of the addresses that they are at. */
function recordsOf(
  services: readonly DesiredService[],
  ranges: ReadonlyMap<number, SlotRange>,
): ServiceRecord[] {
  const records = new Map<string, ServiceRecord>();
  for (const { address } of services) {
    const key = addressKey(address);
    records.set(nameOf(key), { key, fields: plainFields() });
  }
  const owners = new Map<string, string>();
  for (const service of services) {
    const key = serviceKey(service);
    const other = owners.get(nameOf(key));
    if (other !== undefined) {
      throw new Failure('invalid', `services ${other} and ${service.name} have the same address and port`, {
        remedy: 'take the address from one of them',
      });
    }
    owners.set(nameOf(key), service.name);
    records.set(nameOf(key), {
      key,
      fields: serviceFields(service, service.poolId, ranges.get(service.poolId)!),
    });
  }
  return [...records.values()];
}
