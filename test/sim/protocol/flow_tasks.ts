// Owns what a daemon does with its mux's flow tables: refreshing at owners and backups what the cache says is alive,
// copying to new backups, and counting what the leader waits for.
import { BpfMap } from 'libbpf-ts';
import { chainOf } from '../../../control/cluster/chain.ts';
import type { PeriodReport, Version } from '../../../control/cluster/version.ts';
import type { DaemonSite } from './daemon.ts';
import { IDLE_MS, MS } from './place.ts';
import type { ProgramMux } from './programs.ts';

const BUCKET = 256;
const PLACES = 7;
const FLOW_NS = 2 ** 28;

export type Entry = {
  bucket: number; place: number; fingerprint: bigint;
  slot: number; trackEpoch: number; chainEpoch: number; backend: number; generation: number; seen: number; idle: number; state: number;
};

export class FlowTasks {
  onReport: (reports: PeriodReport[]) => void = () => {};
  readonly #site: DaemonSite;
  readonly #mux: ProgramMux;
  #reportedMs = 0;
  #refreshedMs = 0;
  #copied = new Map<string, number>();
  static tables = new WeakMap<ProgramMux, Tables>();

  constructor(site: DaemonSite, _number: number, mux: ProgramMux) {
    this.#site = site;
    this.#mux = mux;
    if (!FlowTasks.tables.has(mux)) FlowTasks.tables.set(mux, new Tables(mux));
  }

  get #tables(): Tables {
    return FlowTasks.tables.get(this.#mux)!;
  }

  step(applied: Version | undefined, nowMs: number, isMember: boolean): void {
    if (applied === undefined || !isMember) return;
    if (nowMs - this.#refreshedMs > IDLE_MS / 4) {
      this.#refreshedMs = nowMs;
      if (!this.#site.faults.noRefresh) this.#refresh(applied);
    }
    if (nowMs - this.#reportedMs > 500) {
      this.#reportedMs = nowMs;
      this.onReport(this.reports(applied));
    }
  }

  #now(): number {
    return Math.floor(this.#mux.nowNs(this.#site.world.nowNs) / FLOW_NS) & 0xffff;
  }

  reports(version: Version): PeriodReport[] {
    this.#copy(version);
    const now = this.#now();
    const entries = this.#tables.entries();
    return [...version.placements.values()].flatMap((placement) => {
      const epochs = new Map(placement.periods.map((it) => [it.trackEpoch, it]));
      const base = this.#tables.slotBase(placement.poolId);
      return [...epochs.values()].map((period): PeriodReport => {
        const held = new Uint8Array(Math.ceil(placement.current.length / 8));
        let flows = 0, old = 0;
        for (const e of entries) {
          const slot = e.slot - base;
          if (slot < 0 || slot >= placement.current.length || e.trackEpoch !== period.trackEpoch) continue;
          if (isExpired(e, now)) continue;
          flows++;
          const backend = [...version.objects.backends.values()].find((it) => it.index === e.backend);
          if (backend === undefined || (backend.generation & 0xffff) !== e.generation) continue;
          if (e.backend === placement.current[slot]) continue;
          old++;
          held[slot >> 3]! |= 1 << (slot & 7);
        }
        const unrecorded = this.#tables.unrecordedNs(placement.poolId, period.trackEpoch);
        return {
          poolId: placement.poolId,
          trackEpoch: period.trackEpoch,
          copiedChainEpoch: this.#copied.get(`${placement.poolId} ${period.trackEpoch}`) ?? 0,
          isHandedOver: true,
          unrecordedAgoMs: unrecorded === 0n ? -1 : Math.max(0, Math.floor((this.#mux.nowNs(this.#site.world.nowNs) - Number(unrecorded)) / MS)),
          heldSlots: held,
          flows,
          oldFlows: old,
        };
      });
    });
  }

  #copy(version: Version): void {
    const { store, fleet, faults } = this.#site;
    const everyone = version.members.every((m) => {
      const ack = store.acknowledgements.get(m.name);
      return m.name === `mux${this.#mux.id - 1}` || (ack?.incarnation === m.incarnation && ack.version >= version.number);
    });
    if (!everyone) return;
    for (const placement of version.placements.values()) {
      const base = this.#tables.slotBase(placement.poolId);
      for (const period of placement.periods) {
        const key = `${placement.poolId} ${period.trackEpoch}`;
        if (this.#copied.get(key) === period.chainEpoch) continue;
        this.#copied.set(key, period.chainEpoch);
        if (period.chainEpoch === period.trackEpoch || faults.noCopy) continue;
        for (const entry of this.#tables.entries()) {
          const slot = entry.slot - base;
          if (entry.trackEpoch !== period.trackEpoch || slot < 0 || slot >= placement.current.length) continue;
          const chain = chainOf(period, version.members, slot);
          if (chain?.owner.id !== this.#mux.id || chain.backup === undefined) continue;
          const other = fleet.mux(chain.backup.id - 1);
          if (other.program.self.incarnation !== chain.backup.incarnation) continue;
          const age = (this.#now() - entry.seen) & 0xffff;
          FlowTasks.tables.get(other)?.insert(entry, Math.floor(other.nowNs(this.#site.world.nowNs) / FLOW_NS) - age);
        }
      }
    }
  }

  #refresh(version: Version): void {
    const { fleet, faults, world } = this.#site;
    const now = this.#now();
    for (const { hash, slotIndex, backend, seen, epoch, idle } of this.#tables.cached()) {
      if (((now - seen) & 0xffff) > idle) continue;
      for (const placement of version.placements.values()) {
        const slot = slotIndex - this.#tables.slotBase(placement.poolId);
        if (slot < 0 || slot >= placement.current.length) continue;
        const period = placement.periods[placement.period[slot]! - 1];
        if (period?.trackEpoch !== epoch) continue;
        const chain = chainOf(period, version.members, slot);
        const ids = [chain?.owner, faults.noRefreshOfBackup ? undefined : chain?.backup];
        for (const keeper of ids) {
          if (keeper === undefined) continue;
          const mux = fleet.mux(keeper.id - 1);
          const age = (now - seen) & 0xffff;
          FlowTasks.tables.get(mux)?.refresh(hash, epoch, backend, Math.floor(mux.nowNs(world.nowNs) / FLOW_NS) - age);
        }
      }
    }
  }
}

function isExpired(e: Entry, now: number): boolean {
  const age = (now - e.seen) & 0xffff;
  return (age > 0xffff - 16 ? 0 : age) > (e.state === 1 ? 112 : 4 * e.idle);
}

class Tables {
  readonly #table: BpfMap;
  readonly #cache: DataView;
  readonly #services: DataView;
  readonly #slots: BigUint64Array;
  readonly #chains: DataView;
  readonly #buckets: number;
  readonly #cacheBuckets: number;

  constructor(mux: ProgramMux) {
    const maps = mux.program.program.info().mapIds.map((id) => BpfMap.openById(id));
    const map = (name: string): BpfMap => maps.find((it) => it.info.name === name)!;
    this.#table = map('flow_table');
    this.#buckets = this.#table.info.maxEntries;
    this.#cache = new DataView(map('flow_cache').mmap());
    this.#cacheBuckets = map('flow_cache').info.maxEntries;
    this.#services = new DataView(map('.data.services').mmap());
    this.#slots = new BigUint64Array(map('slots').mmap());
    this.#chains = new DataView(map('chains').mmap());
  }

  readonly #bases = new Map<number, number>();

  slotBase(pool: number): number {
    let base = this.#bases.get(pool);
    if (base === undefined) {
      base = this.#findBase(pool);
      if (base >= 0) this.#bases.set(pool, base);
    }
    return base;
  }

  #findBase(pool: number): number {
    for (let at = 0; at < 4_096 * 64; at += 64)
      if (this.#services.getUint8(at + 35) & 0x80 && this.#services.getUint32(at + 40, true) > 0 && this.#services.getUint32(at + 44, true) === pool)
        return this.#services.getUint32(at + 36, true);
    return -1_000_000;
  }

  unrecordedNs(_pool: number, epoch: number): bigint {
    let newest = 0n;
    for (let at = 32; at < 4_096 * 32; at += 32) {
      if (this.#chains.getUint32(at, true) !== epoch) continue;
      const ns = this.#chains.getBigUint64(at + 24, true);
      if (ns > newest) newest = ns;
    }
    return newest;
  }

  *cached() {
    for (let bucket = 0; bucket < this.#cacheBuckets; bucket++) {
      for (let place = 0; place < 4; place++) {
        const fingerprint = this.#cache.getBigUint64(bucket * 64 + place * 8, true);
        const state = this.#cache.getBigUint64(bucket * 64 + 32 + place * 8, true);
        if ((state & (1n << 61n)) === 0n || (state & (1n << 60n)) !== 0n) continue;
        const slotIndex = Number((state >> 20n) & 0xffffffn);
        const chain = Number(this.#slots[slotIndex]! >> 33n);
        if (chain === 0) continue;
        const epoch = this.#chains.getUint32(chain * 32, true);
        const bound = (1n << 60n) | ((1n << 44n) - 1n);
        const hash = BigInt.asUintN(64, (fingerprint ^ (state & bound)) - BigInt(epoch) * 0x9e3779b97f4a7c15n);
        yield { hash, slotIndex, backend: Number(state & 0xfffn), seen: Number((state >> 44n) & 0xffffn), epoch, idle: 15 };
      }
    }
  }

  #bucket(index: number): DataView {
    const value = this.#table.lookup(Uint32Array.of(index))!;
    return new DataView(value.buffer, value.byteOffset, value.byteLength);
  }

  entries(): Entry[] {
    const found: Entry[] = [];
    for (let bucket = 0; bucket < this.#buckets; bucket++) found.push(...this.#of(bucket, this.#bucket(bucket)));
    return found;
  }

  #of(bucket: number, view: DataView): Entry[] {
    const found: Entry[] = [];
    for (let place = 0; place < PLACES; place++) {
      const at = 64 + place * 24;
      if (view.getUint8(at + 22) === 0) continue;
      found.push({
        bucket, place, fingerprint: view.getBigUint64(8 + place * 8, true),
        slot: view.getUint32(at, true), trackEpoch: view.getUint32(at + 4, true), chainEpoch: view.getUint16(at + 12, true),
        backend: view.getUint16(at + 14, true), generation: view.getUint16(at + 16, true), seen: view.getUint16(at + 18, true),
        idle: view.getUint16(at + 20 - 0, true), state: view.getUint8(at + 22),
      });
    }
    return found;
  }

  clear(): void {
    for (let at = 0; at < this.#buckets; at++) this.#table.update(Uint32Array.of(at), new Uint8Array(BUCKET));
    new Uint8Array(this.#cache.buffer).fill(0);
  }

  #bucketOf(hash: bigint): number {
    return Number(((hash & 0xffff_ffffn) * BigInt(this.#buckets)) >> 32n);
  }

  refresh(hash: bigint, epoch: number, backend: number, seen: number): void {
    const index = this.#bucketOf(hash);
    const view = this.#bucket(index);
    const entry = this.#of(index, view).find((e) => e.fingerprint === hash && e.trackEpoch === epoch && e.backend === backend);
    if (entry === undefined) return;
    view.setUint16(64 + entry.place * 24 + 18, seen & 0xffff, true);
    this.#table.update(Uint32Array.of(index), new Uint8Array(view.buffer, view.byteOffset, BUCKET));
  }

  insert(entry: Entry, seen: number): void {
    const view = this.#bucket(entry.bucket);
    const entries = this.#of(entry.bucket, view);
    const same = entries.find((e) => e.fingerprint === entry.fingerprint);
    if (same !== undefined && same.trackEpoch >= entry.trackEpoch) return;
    const place = same?.place ?? [0, 1, 2, 3, 4, 5, 6].find((it) => !entries.some((e) => e.place === it));
    if (place === undefined) return;
    view.setBigUint64(8 + place * 8, entry.fingerprint, true);
    const at = 64 + place * 24;
    view.setUint32(at, entry.slot, true);
    view.setUint32(at + 4, entry.trackEpoch, true);
    view.setUint16(at + 12, entry.chainEpoch, true);
    view.setUint16(at + 14, entry.backend, true);
    view.setUint16(at + 16, entry.generation, true);
    view.setUint16(at + 18, seen & 0xffff, true);
    view.setUint16(at + 20, entry.idle, true);
    view.setUint8(at + 22, entry.state);
    this.#table.update(Uint32Array.of(entry.bucket), new Uint8Array(view.buffer, view.byteOffset, BUCKET));
  }
}
