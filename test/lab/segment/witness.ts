// Owns reading what the witness at the clients' end has seen (../bpf/witness.bpf.c).
import type { LoadedObject, XdpLink } from 'libbpf-ts';
import { openTestObject } from '../programs.ts';

const EVENTS_MAX = 64;
const EVENT_BYTES = 32;

export type WitnessCounts = {
  readonly answers: number;
  /** By the same server: what it sent again. */
  readonly again: number;
  /** Answers of a second server to one SYN or datagram. */
  readonly doubles: number;
  readonly resets: number;
};

export type WitnessEvent = {
  readonly what: 'reset' | 'double';
  readonly client: string;
  readonly port: number;
  /** The last byte of link addresses: numbers of servers. */
  readonly server: number;
  readonly other: number;
};

export class Witness {
  readonly #object: LoadedObject;
  readonly #link: XdpLink;

  private constructor(object: LoadedObject, link: XdpLink) {
    this.#object = object;
    this.#link = link;
  }

  /** On `eth0` there. */
  static begin(service: string, netns: string): Witness {
    const opened = openTestObject('witness');
    const bytes = Uint8Array.from(service.split('.').map(Number));
    opened.setConstants({ service_address: new DataView(bytes.buffer).getUint32(0, true) });
    const object = opened.load();
    return new Witness(
      object,
      object.program('witness').attachXdp({ interface: 'eth0', netns, mode: 'native' }),
    );
  }

  close(): void {
    this.#link.close();
    this.#object.close();
  }

  get counts(): WitnessCounts {
    const [answers, again, doubles, resets] = new BigUint64Array(this.#object.map('.data.seen').mmap(), 0, 4);
    return {
      answers: Number(answers),
      again: Number(again),
      doubles: Number(doubles),
      resets: Number(resets),
    };
  }

  /** The first of all. */
  get events(): WitnessEvent[] {
    const [told] = new BigUint64Array(this.#object.map('.data.told').mmap(), 0, 1);
    const view = new DataView(this.#object.map('.data.events').mmap());
    return Array.from({ length: Math.min(Number(told), EVENTS_MAX) }, (_, index): WitnessEvent => {
      const at = index * EVENT_BYTES;
      return {
        what: view.getUint16(at + 6, true) === 0 ? 'reset' : 'double',
        client: [0, 1, 2, 3].map((byte) => view.getUint8(at + byte)).join('.'),
        port: view.getUint16(at + 4),
        server: view.getUint8(at + 8 + 5),
        other: view.getUint8(at + 16 + 5),
      };
    });
  }
}
