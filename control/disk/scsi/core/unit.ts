// Owns the state of one logical unit that its commands share: settings, reservations, nexuses with their attentions, and the
// geometry of the image. What each command makes of it is in the other files of this room.
import type { Image } from '../../image/image.ts';
import { IMAGE_TRANSFER_BYTES_MAX } from '../../image/image.ts';
import { type InitiatorPort, initiatorKey } from '../codec/command.ts';
import { type AdditionalSense, ASC } from '../codec/constants.ts';
import type { PortGroup, TargetPort, UnitFacts, UnitIdentity } from '../codec/inquiry.ts';
import { MODE_DEFAULTS, type ModeSettings } from '../codec/mode.ts';
import { Attentions } from './attentions.ts';
import type { Nexus, PersistentState, Registration } from './reservations.ts';
import { isOf } from './reservations.ts';

/** Nexuses of one unit that are remembered; the one that was quiet longest goes first. */
export const NEXUSES_MAX = 4096;
const WRITE_SAME_BYTES_MAX = 2 * 1024 * 1024 * 1024;
/** SBC has one byte for it. */
const COMPARE_BLOCKS_MAX = 255;
const UNMAP_BLOCKS_MAX = 1024 * 1024;
export const UNMAP_DESCRIPTORS_MAX = 256;
const OPTIMAL_TRANSFER_BYTES = 1024 * 1024;

/** Where reservations are kept with the disk. */
export interface ReservationStore {
  /** Resolves when they are durable; only then the command is answered GOOD. `of` becomes durable with them. */
  save(state: PersistentState, of: { readonly nexus: Nexus; readonly reference: bigint }): Promise<void>;
}

/** Another unit that EXTENDED COPY may read from or write to. */
export interface CopyEnd {
  readonly image: Image;
  readonly writable: boolean;
}

export interface UnitParts {
  readonly image: Image;
  readonly identity: UnitIdentity;
  readonly ports: readonly TargetPort[];
  readonly groups: readonly PortGroup[];
  /** As they were stored last. */
  readonly reservations: PersistentState;
  readonly store: ReservationStore;
  /** After a failover nobody is told of a power on. */
  readonly startedBy: 'power on' | 'failover';
  /** Sessions of one initiator name count as one initiator, unless this is set. */
  readonly isidCounts?: boolean;
  /** What REPORT LUNS answers; LUN 0 without it. */
  readonly luns?: () => readonly Uint8Array[];
  /** By the designator of a copy target; this unit itself needs none. */
  readonly copyEnd?: (designator: Uint8Array, nexus: Nexus) => CopyEnd | undefined;
}

/** One I_T nexus as the unit remembers it. */
export interface NexusState {
  readonly key: string;
  readonly nexus: Nexus;
  readonly attentions: Attentions;
  /** Of EXTENDED COPY, by list identifier. */
  readonly copies: Map<number, { status: number; segments: number; bytes: number }>;
}

export class Unit {
  readonly parts: UnitParts;
  readonly blockBytes: number;
  settings: ModeSettings = MODE_DEFAULTS;
  reservations: PersistentState;
  /** Key of the nexus that holds RESERVE(6). */
  reserved: string | undefined;
  /** How far a SANITIZE is, of 65,536. */
  sanitizing: number | undefined;
  sanitizeFailed = false;
  /** What goes on after its command was answered. */
  background: Promise<void> | undefined;
  groups: readonly PortGroup[];
  readonly #nexuses = new Map<string, NexusState>();

  constructor(parts: UnitParts) {
    this.parts = parts;
    this.blockBytes = parts.image.logicalBlockBytes;
    this.reservations = parts.reservations;
    this.groups = parts.groups;
  }

  get image(): Image {
    return this.parts.image;
  }

  get blocks(): number {
    return this.image.sizeBytes / this.blockBytes;
  }

  get isWriteProtected(): boolean {
    return this.settings.writeProtect || this.image.readOnly;
  }

  get transferBlocksMax(): number {
    return IMAGE_TRANSFER_BYTES_MAX / this.blockBytes;
  }

  get writeSameBlocksMax(): number {
    return WRITE_SAME_BYTES_MAX / this.blockBytes;
  }

  get atomicBlocksMax(): number {
    return Math.min(this.image.atomicWriteBytesMax / this.blockBytes, this.transferBlocksMax);
  }

  get unmapBlocksMax(): number {
    return UNMAP_BLOCKS_MAX;
  }

  get compareBlocksMax(): number {
    return COMPARE_BLOCKS_MAX;
  }

  port(relativeId: number): TargetPort {
    const { ports } = this.parts;
    return ports.find((port) => port.relativeId === relativeId) ?? (ports[0] as TargetPort);
  }

  groupOf(relativeId: number): PortGroup | undefined {
    const { group } = this.port(relativeId);
    return this.groups.find(({ id }) => id === group);
  }

  facts(relativePort: number): UnitFacts {
    const { image, identity, ports } = this.parts;
    return {
      identity,
      port: this.port(relativePort),
      severalPorts: ports.length > 1,
      thin: image.thin,
      blockBytes: this.blockBytes,
      optimalBlocks: Math.max(1, image.physicalBlockBytes / this.blockBytes),
      transferBlocksMax: this.transferBlocksMax,
      optimalTransferBlocks: OPTIMAL_TRANSFER_BYTES / this.blockBytes,
      compareBlocksMax: this.compareBlocksMax,
      writeSameBlocksMax: this.writeSameBlocksMax,
      unmapBlocksMax: this.unmapBlocksMax,
      unmapDescriptorsMax: UNMAP_DESCRIPTORS_MAX,
      unmapGranularityBlocks: Math.max(1, image.unmapBlockBytes / this.blockBytes),
      atomicBlocksMax: this.atomicBlocksMax,
    };
  }

  /** As the unit tells initiators apart. */
  initiator(given: InitiatorPort): InitiatorPort {
    if (given.isid === undefined) return given;
    return this.parts.isidCounts === true ? given : { name: given.name };
  }

  nexus(given: InitiatorPort, targetPort: number): NexusState {
    const initiator = this.initiator(given);
    const key = `${initiatorKey(initiator)}|${targetPort}`;
    const known = this.#nexuses.get(key);
    if (known !== undefined) return known;
    if (this.#nexuses.size >= NEXUSES_MAX) this.#forgetOne();
    const attentions = new Attentions();
    if (this.parts.startedBy === 'power on') attentions.raise(ASC.POWER_ON_OCCURRED);
    const made: NexusState = { key, nexus: { initiator, targetPort }, attentions, copies: new Map() };
    this.#nexuses.set(key, made);
    return made;
  }

  get nexuses(): Iterable<NexusState> {
    return this.#nexuses.values();
  }

  /** Tells every nexus, but for the one that caused it. */
  raise(code: AdditionalSense, but?: string): void {
    for (const each of this.#nexuses.values()) if (each.key !== but) each.attentions.raise(code);
  }

  /** Also one that is not logged in: it hears of it when it comes back. */
  raiseFor(registration: Registration, code: AdditionalSense, but: string): void {
    for (const each of this.#nexuses.values())
      if (each.key !== but && isOf(registration, each.nexus)) each.attentions.raise(code);
    if (registration.targetPort === undefined) return;
    const { key, attentions } = this.nexus(registration.initiator, registration.targetPort);
    if (key !== but) attentions.raise(code);
  }

  /** The one that came first among those that hold nothing: it comes back as a new one. */
  #forgetOne(): void {
    for (const [key, { nexus }] of this.#nexuses) {
      if (key === this.reserved) continue;
      if (this.reservations.registrations.some((each) => isOf(each, nexus))) continue;
      this.#nexuses.delete(key);
      return;
    }
    const [oldest] = this.#nexuses.keys();
    if (oldest !== undefined) this.#nexuses.delete(oldest);
  }
}
