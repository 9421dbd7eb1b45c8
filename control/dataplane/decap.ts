// Owns a loaded decap program: which muxes it takes tunnel packets from, for which service addresses.
import { randomBytes } from 'node:crypto';
import { membarrierGlobalSync } from '@holdfast/linux';
import type { LoadedObject, Program } from 'libbpf-ts';
import { possibleCpus } from 'libbpf-ts';
import { networkOrder16, parseAddress, parsePrefix, versionOf, wordsOf } from '../lib/address.ts';
import type { AttachOptions } from './attachment.ts';
import { Attachments } from './attachment.ts';
import { GUE_PORT } from './backend_table.ts';
import type { ReasonName } from './counters.ts';
import { Counters } from './counters.ts';
import { Limit, muxSourceCodec } from './generated/layout.ts';
import { hashKeyFromSecret, readHashKey } from './hash.ts';
import { mapSection, objectPath, openProgram } from './object.ts';
import type { ServiceKey } from './service_table.ts';
import { ServiceTable } from './service_table.ts';

export type DecapOptions = { guePort?: number; objectPath?: string };

const STRUCTS = ['service', 'counters', 'mux_source', 'hash_key'];

export class DecapProgram {
  readonly #object: LoadedObject;
  readonly #attachments = new Attachments();
  readonly #services: ServiceTable;
  readonly #counters: Counters;

  private constructor(object: LoadedObject, key: Uint8Array) {
    this.#object = object;
    this.#services = new ServiceTable(
      new Uint8Array(mapSection(object, '.data.services')),
      new Uint8Array(mapSection(object, '.data.address_filter')),
      readHashKey(key),
      membarrierGlobalSync,
    );
    this.#counters = new Counters(object.map('counters').mmap(), possibleCpus());
  }

  static load(options: DecapOptions = {}): DecapProgram {
    // Nobody else has to agree with this table, so the key is this program's own.
    const key = hashKeyFromSecret(randomBytes(32));
    const opened = openProgram(options.objectPath ?? objectPath('decap'), STRUCTS);
    opened.setConstants({ hash_key: key, gue_port: networkOrder16(options.guePort ?? GUE_PORT) });
    opened.maps.get('counters')?.setMaxEntries(possibleCpus());
    return new DecapProgram(opened.load(), key);
  }

  get program(): Program {
    return this.#object.program('decap');
  }

  attach(options: AttachOptions): void {
    this.#attachments.attach(this.program, options);
  }

  pin(directory: string): void {
    this.#attachments.pin(this.#object, directory);
  }

  /** Prefixes (or addresses) of the muxes' tunnel sources. Replaces what was set before. */
  setMuxSources(prefixes: readonly string[]): void {
    if (prefixes.length > Limit.LIMIT_MUX_SOURCES) {
      throw new RangeError(`at most ${Limit.LIMIT_MUX_SOURCES} mux sources, got ${prefixes.length}`);
    }
    const parsed = prefixes.map(parsePrefix);
    const count = new Uint32Array(mapSection(this.#object, '.data.mux_count'), 0, 1);
    const view = new DataView(mapSection(this.#object, '.data.mux_sources'));

    // While the list is rewritten nobody is a mux: a packet of a mux waits for its retransmission.
    Atomics.store(count, 0, 0);
    membarrierGlobalSync();
    parsed.forEach(({ address, mask }, index) => {
      const record = { address: { word: wordsOf(address) }, mask: { word: wordsOf(mask) } };
      muxSourceCodec.write(view, index * muxSourceCodec.sizeBytes, record);
    });
    Atomics.store(count, 0, parsed.length);
  }

  /** Service addresses whose packets are unwrapped. Adds what is new, then removes what is gone. */
  setServiceAddresses(addresses: readonly string[]): void {
    const wanted = addresses.map((text): ServiceKey => {
      const address = parseAddress(text);
      return { words: wordsOf(address), version: versionOf(address), protocol: 0, port: 0 };
    });
    const same = (a: ServiceKey, b: ServiceKey): boolean =>
      a.words.every((word, index) => word === b.words[index]);
    const known = [...this.#services.entries()].map(({ key }) => key);
    for (const key of wanted) if (!known.some((it) => same(it, key))) this.#services.set(key, EMPTY_FIELDS);
    for (const key of known) if (!wanted.some((it) => same(it, key))) this.#services.delete(key);
  }

  counters(): { reasons: Record<ReasonName, bigint> } {
    return { reasons: this.#counters.reasons() };
  }

  close(): void {
    this.#attachments.close();
    this.#object.close();
  }
}

const EMPTY_FIELDS = {
  client_mask: [0, 0, 0, 0],
  flags: 0,
  slot_base: 0,
  slot_count: 0,
  pool: 0,
  quic_config_rotation: 0,
  quic_server_id_bytes: 0,
};
