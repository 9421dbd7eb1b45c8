// Owns bringing a mux's tables to a desired state in an order in which no packet is lost or sent wrongly: what is
// pointed at is written before what points at it, and taken away a grace period after. Everything that can fail for
// want of room is planned before the first write. Not here: how each table writes a change (the tables).
import type { Candidate, Placement } from '../cluster/version.ts';
import { Failure } from '../lib/failure.ts';
import { otherWays, replaceBackends, writeBackends } from './backend_changes.ts';
import type { BackendConfig, BackendTable } from './backend_table.ts';
import { chainIndexes, type SlotChains } from './chain_plan.ts';
import { type ChainTable, ChainTableFullError, tooManyChains } from './chain_table.ts';
import type { DesiredMux, DesiredService } from './desired.ts';
import { Limit } from './generated/layout.ts';
import type { GracePeriods } from './grace.ts';
import type { PoolTable } from './pool_table.ts';
import type { SelfRecord } from './self.ts';
import { type ServerIdChange, type ServerIdTable, ServerIdTableFullError } from './server_id_table.ts';
import { addressKey, plainFields, serviceFields, serviceKey } from './service_record.ts';
import {
  nameOf,
  type ServiceRecord,
  type ServiceRound,
  type ServiceTable,
  ServiceTableFullError,
} from './service_table.ts';
import { placeRanges, type SlotContent, type SlotRange, type SlotTable } from './slot_table.ts';
import type { Traffic } from './traffic.ts';

/** What an apply has written; all zero where the tables said it already. */
export type Applied = {
  revision: number;
  services: { added: number; changed: number; removed: number };
  backends: { added: number; changed: number; removed: number };
  peers: { added: number; changed: number; removed: number };
  slots: number;
  serverIds: number;
  gracePeriods: number;
};

export type MuxTablesParts = {
  services: ServiceTable;
  backends: BackendTable;
  serverIds: ServerIdTable;
  slots: SlotTable;
  chains: Trackings;
  peers: BackendTable;
  pools: PoolTable;
  self: SelfRecord;
  traffic: Traffic;
  grace: GracePeriods;
};

/** What tracked slots name, whatever its records say. */
export type Trackings = Pick<
  ChainTable,
  'capacity' | 'size' | 'isSettled' | 'indexes' | 'settle' | 'keepOnly' | 'adopt' | 'unrecordedNs'
>;

/** What differs between muxes and filters. */
export type TablesKind = {
  /** What slots of a pool name; what is not there yet is claimed. @throws ChainTableFullError */
  readonly slotChains: (placement: Placement, members: readonly Candidate[]) => SlotChains | undefined;
  /** Of services and of the addresses that they are at. */
  readonly records: (
    services: readonly DesiredService[],
    ranges: ReadonlyMap<number, SlotRange>,
  ) => ServiceRecord[];
};

export function muxTables(
  parts: Omit<MuxTablesParts, 'chains'> & { readonly chains: ChainTable },
): MuxTables {
  return new MuxTables(parts, {
    slotChains: (placement, members) => chainIndexes(placement, members, (key) => parts.chains.claim(key)),
    records: recordsOf,
  });
}

type Plan = {
  ranges: ReadonlyMap<number, SlotRange>;
  slots: ReadonlyMap<number, SlotContent>;
  /** What they name. */
  chains: ReadonlySet<number>;
  rounds: readonly ServiceRound[];
  serverIds: readonly ServerIdChange[];
};

/** Grace periods that one change may need, one after the other, before something is wrong. */
const GRACE_PERIODS_MAX = 64;

export class MuxTables {
  readonly #parts: MuxTablesParts;
  readonly #kind: TablesKind;
  /** Of the pools that slots were written for last, by id. */
  readonly #poolNames = new Map<number, string>();

  constructor(parts: MuxTablesParts, kind: TablesKind) {
    this.#parts = parts;
    this.#kind = kind;
  }

  /**
   * When this resolves, every CPU acts on `desired`, and the program says that it is at its version.
   * @throws Failure; what cannot be applied is found before anything is written.
   */
  async apply(desired: DesiredMux): Promise<Applied> {
    const { traffic, self } = this.#parts;
    const applied = newApplied(desired.revision);
    await this.#settleServices(applied);
    for (const [index, config] of desired.backends) this.#parts.backends.check(index, config);
    for (const [id, config] of desired.peers) this.#parts.peers.check(id, config);
    const plan = await this.#planWithRoom(desired, applied);

    await this.#writeWays(desired, plan, applied);
    this.#parts.pools.add(plan.ranges);
    const written = this.#parts.grace.mark();
    for (const round of plan.rounds) await this.#writeRound(round, applied);

    const isNewVersion = desired.version !== 0 && self.version !== desired.version;
    const isGoing = this.#goneOf(desired).some((indexes) => indexes.length > 0);
    // A version is in effect once nothing acts on what was before it; services may have come after the last period.
    if (isNewVersion || (isGoing && !this.#parts.grace.passed(written))) await this.#wait(applied);
    if (isNewVersion) {
      self.version = desired.version;
      // Whoever reads pledges from now on finds all that were given before: pledge() of the program reads, then stamps.
      await this.#wait(applied);
    }
    this.#removeGone(desired, applied);
    this.#parts.chains.keepOnly(plan.chains);
    this.#parts.pools.keepOnly(new Set(plan.ranges.keys()));
    if (this.#closeAccounts(desired) || plan.rounds.length > 0) traffic.save();
    return applied;
  }

  /** New ways to backends and peers that are in the tables. */
  async setPaths(
    configs: ReadonlyMap<number, BackendConfig>,
    peers: ReadonlyMap<number, BackendConfig> = new Map(),
  ): Promise<number> {
    const changed = otherWays(this.#parts.backends, configs);
    const changedPeers = otherWays(this.#parts.peers, peers);
    await this.#setWays(changed, changedPeers);
    return changed.size + changedPeers.size;
  }

  /** Writes backends, whatever stands there now. */
  async setBackends(configs: ReadonlyMap<number, BackendConfig>): Promise<void> {
    for (const [index, config] of configs) this.#parts.backends.check(index, config);
    await this.#setWays(configs, new Map());
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

  /** Backends and peers, then what points at them. What still leads elsewhere is pointed at once it has changed. */
  async #writeWays(desired: DesiredMux, plan: Plan, applied: Applied): Promise<void> {
    const { serverIds } = this.#parts;
    const { later, finish } = this.#beginWays(desired.backends, desired.peers, applied);
    const isReady = (backend: number): boolean => !later.has(backend);
    applied.slots += this.#writeSlots(plan, isReady);
    applied.serverIds = plan.serverIds.length;
    for (const it of plan.serverIds) if (it.backend === undefined || isReady(it.backend)) serverIds.set(it);
    await finish();
    if (later.size > 0) {
      applied.slots += this.#writeSlots(plan, () => true);
      for (const it of plan.serverIds) if (!isReady(it.backend ?? 0)) serverIds.set(it);
    }
    for (const [id, { name }] of desired.pools) if (plan.ranges.has(id)) this.#poolNames.set(id, name);
  }

  async #setWays(
    backends: ReadonlyMap<number, BackendConfig>,
    peers: ReadonlyMap<number, BackendConfig>,
  ): Promise<void> {
    await this.#beginWays(backends, peers, newApplied(0)).finish();
  }

  /** Writes what can be written now; `finish` writes the rest, of which `later` are backends. */
  #beginWays(
    backends: ReadonlyMap<number, BackendConfig>,
    peers: ReadonlyMap<number, BackendConfig>,
    applied: Applied,
  ): { later: ReadonlyMap<number, BackendConfig>; finish: () => Promise<void> } {
    const { peers: peerTable } = this.#parts;
    const changes = {
      table: this.#parts.backends,
      joins: (configs: ReadonlyMap<number, BackendConfig>) => this.#joinBackends(configs),
    };
    const written = writeBackends(changes, backends);
    const writtenPeers = writeBackends({ table: peerTable }, peers);
    add(applied.backends, written);
    add(applied.peers, writtenPeers);
    const wait = () => this.#wait(applied);
    return {
      later: written.later,
      finish: async () => {
        await replaceBackends(changes, written.later, wait);
        await replaceBackends({ table: peerTable }, writtenPeers.later, wait);
      },
    };
  }

  #goneOf({ backends, peers }: DesiredMux): readonly [backends: number[], peers: number[]] {
    return [
      this.#parts.backends.indexes().filter((index) => !backends.has(index)),
      this.#parts.peers.indexes().filter((id) => !peers.has(id)),
    ];
  }

  #removeGone(desired: DesiredMux, applied: Applied): void {
    const [backends, peers] = this.#goneOf(desired);
    for (const index of backends) this.#parts.backends.delete(index);
    for (const id of peers) this.#parts.peers.delete(id);
    applied.backends.removed = backends.length;
    applied.peers.removed = peers.length;
  }

  /** Whether there were any of what is not there any more. */
  #closeAccounts({ backends }: DesiredMux): boolean {
    const { services, traffic } = this.#parts;
    const owners = new Set([...backends].map(([index, config]) => ownerOf(index, config.generation)));
    const gone = traffic.backends.owners().filter((owner) => !owners.has(owner));
    for (const owner of gone) traffic.backends.closes(owner);
    const known = new Set([...services.entries()].map(({ key }) => nameOf(key)));
    const left = traffic.services.owners().filter((owner) => !known.has(owner));
    for (const owner of left) traffic.services.closes(owner);
    return gone.length + left.length > 0;
  }

  /**
   * A plan, after making room where there is none beside what goes. Services that are not wanted go first then, which
   * is not the order that this file is about, but the state that is wanted cannot be reached otherwise.
   */
  async #planWithRoom(desired: DesiredMux, applied: Applied): Promise<Plan> {
    const sizes = poolSizes(desired);
    const { capacity } = this.#parts.slots;
    const ranges = placeRanges(this.#rangesOf(desired), this.#takenRanges(), sizes, capacity);
    if (ranges !== undefined) return this.#plan(desired, ranges, applied);

    const wanted = new Set(desired.services.map((it) => nameOf(serviceKey(it))));
    const isWanted = ({ key }: ServiceRecord): boolean => wanted.has(nameOf(key));
    const later = placeRanges(
      this.#rangesOf(desired, isWanted),
      this.#takenRanges(isWanted),
      sizes,
      capacity,
    );
    if (later === undefined) throw this.#noSlots(sizes);
    await this.#plan(desired, later, applied);
    const removals = [...this.#parts.services.entries()]
      .filter((it) => it.fields.slot_count > 0 && !isWanted(it))
      .map(({ key }) => key);
    await this.#writeRound({ puts: [], removals }, applied);
    return this.#planWithRoom(desired, applied);
  }

  async #plan(desired: DesiredMux, ranges: ReadonlyMap<number, SlotRange>, applied: Applied): Promise<Plan> {
    const { chains } = this.#parts;
    const before = chains.indexes();
    try {
      const rounds = this.#planServices(this.#kind.records(desired.services, ranges));
      const serverIds = this.#planServerIds(desired);
      return { ranges, rounds, serverIds, ...(await this.#planSlots(desired, ranges, applied)) };
    } catch (error) {
      // No slot names those that were claimed since.
      chains.keepOnly(before);
      throw error;
    }
  }

  #planServerIds(desired: DesiredMux): ServerIdChange[] {
    try {
      return this.#parts.serverIds.plan(desired.serverIds);
    } catch (cause) {
      if (!(cause instanceof ServerIdTableFullError)) throw cause;
      throw new Failure('limit', 'the index of QUIC server IDs has no room for all of them', {
        cause,
        remedy: 'use other server IDs, or fewer',
      });
    }
  }

  /** Chains are written here already: no slot names the new ones yet. */
  async #planSlots(
    { pools, members }: DesiredMux,
    ranges: ReadonlyMap<number, SlotRange>,
    applied: Applied,
  ): Promise<Pick<Plan, 'slots' | 'chains'>> {
    const { chains } = this.#parts;
    chains.settle();
    const plan = (): Pick<Plan, 'slots' | 'chains'> => {
      const slots = new Map<number, SlotContent>();
      const named = new Set<number>();
      for (const id of ranges.keys()) {
        const { current, base, ...placement } = pools.get(id)!;
        const found = this.#kind.slotChains({ current, base, ...placement }, members);
        for (const index of found?.named ?? []) named.add(index);
        slots.set(id, { current, base, ...(found !== undefined && { chains: found.indexes }) });
      }
      return { slots, chains: named };
    };
    try {
      return plan();
    } catch (error) {
      if (!(error instanceof ChainTableFullError)) throw error;
      if (chains.isSettled) throw tooManyChains(chains.capacity);
    }
    // Those that were released a moment ago may do.
    await this.#wait(applied);
    chains.settle();
    try {
      return plan();
    } catch (error) {
      throw error instanceof ChainTableFullError ? tooManyChains(chains.capacity) : error;
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

  /** Ranges that packets may be reading, those of services that were withdrawn included. */
  #takenRanges(isWanted: (it: ServiceRecord) => boolean = () => true): SlotRange[] {
    const ranges = new Map<number, SlotRange>();
    for (const it of this.#parts.services.inUse()) {
      if (it.fields.slot_count === 0 || !isWanted(it)) continue;
      ranges.set(it.fields.slot_base, { base: it.fields.slot_base, count: it.fields.slot_count });
    }
    return [...ranges.values()];
  }

  /**
   * Ranges that pools may go on with, by id. Not those of a pool that has the id of another one before it as long as
   * services that leave have them: their packets would go to backends of a pool that was never theirs.
   */
  #rangesOf(
    { services: wanted, pools }: DesiredMux,
    isWanted: (it: ServiceRecord) => boolean = () => true,
  ): Map<number, SlotRange[]> {
    const keys = (it: DesiredService) => [serviceKey(it), addressKey(it.address)];
    const staying = new Set(wanted.flatMap((it) => keys(it).map((key) => `${nameOf(key)} ${it.poolId}`)));
    const ranges = new Map<number, Map<number, SlotRange>>();
    const left = new Set<number>();
    for (const it of this.#parts.services.inUse()) {
      const { pool, slot_base: base, slot_count: count } = it.fields;
      if (count === 0 || !isWanted(it)) continue;
      if (!staying.has(`${nameOf(it.key)} ${pool}`)) left.add(base);
      const known = ranges.get(pool) ?? new Map<number, SlotRange>();
      ranges.set(pool, known.set(base, { base, count }));
    }
    const isSame = (id: number, { base, count }: SlotRange): boolean => {
      const name = this.#poolNames.get(id);
      // What another process wrote has no name. A pool whose slots are tracked stays where its flows are.
      if (name === undefined) return this.#parts.slots.chainsOf({ base, count }).size > 0;
      return name === pools.get(id)?.name;
    };
    return new Map(
      [...ranges].map(([id, of]) => [
        id,
        [...of.values()].filter((range) => !left.has(range.base) || isSame(id, range)),
      ]),
    );
  }

  #joinBackends(configs: ReadonlyMap<number, BackendConfig>): void {
    const { traffic } = this.#parts;
    let isNew = false;
    for (const [index, config] of configs)
      isNew = traffic.backends.joins(ownerOf(index, config.generation), index) || isNew;
    if (isNew) traffic.save();
  }

  #writeSlots(plan: Plan, isReady: (backend: number) => boolean): number {
    let slots = 0;
    for (const [pool, { base }] of plan.ranges)
      slots += this.#parts.slots.write(base, plan.slots.get(pool)!, isReady);
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
  peers: { added: 0, changed: 0, removed: 0 },
  slots: 0,
  serverIds: 0,
  gracePeriods: 0,
});

function add(count: Applied['backends'], { added, changed }: { added: number; changed: number }): void {
  count.added += added;
  count.changed += changed;
}

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
      return [poolId, slots.current.length];
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
