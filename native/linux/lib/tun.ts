// TUN devices, and IP packets that are sent with their own header. They move packets; what is in them is the caller's.
import { binding, type NativeRawSender, type NativeTunDevice } from './binding.ts';
import { native } from './errors.ts';
import { checkFunction, checkText } from './rtnetlink/check.ts';

const PACKET_LIMIT_BYTES = 65_535;
const HEADER_BYTES = { 4: 20, 6: 40 } as const;
const ADDRESS_BYTES = { 4: 4, 6: 16 } as const;

/** The device appears in this thread's network namespace when it is made, down, and goes when it is closed. */
export class TunDevice {
  readonly #native: NativeTunDevice;

  /** @throws SystemError: ENOENT where the host has no TUN, EPERM, EBUSY where somebody has a device of this name. */
  constructor(name: string) {
    checkText(name, 'name');
    this.#native = native(`make TUN device ${name}`, () => new binding.TunDevice(name));
  }

  /** Delivers what the host routes into the device. `onError`: it is gone; close it. Keeps no process alive. */
  onPacket(handler: (packet: Uint8Array) => void, onError: (errno: number) => void): void {
    checkFunction(handler, 'handler');
    checkFunction(onError, 'onError');
    native('read TUN device', () =>
      this.#native.start((packet, errno) => {
        if (packet !== undefined) handler(packet);
        else onError(errno ?? 0);
      }),
    );
  }

  /** Repeating it does nothing. */
  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Sends packets of one version of IP, each with its header. */
export class RawSender {
  readonly #native: NativeRawSender;
  readonly #version: 4 | 6;

  constructor(version: 4 | 6) {
    if (version !== 4 && version !== 6) throw new TypeError(`no version of IP: ${String(version)}`);
    this.#version = version;
    this.#native = native('open raw socket', () => new binding.RawSender(version));
  }

  /**
   * Sends it by the host's routes; of IPv4 the kernel fills in length and checksum. Answers the name of the error, such as
   * EMSGSIZE or ENETUNREACH, where it was not taken.
   */
  send(packet: Uint8Array, destination: Uint8Array): string | undefined {
    if (!(packet instanceof Uint8Array)) throw new TypeError('packet is not a Uint8Array');
    if (!(destination instanceof Uint8Array)) throw new TypeError('destination is not a Uint8Array');
    if (packet.length < HEADER_BYTES[this.#version] || packet.length > PACKET_LIMIT_BYTES) {
      throw new RangeError(`a packet has ${HEADER_BYTES[this.#version]} to ${PACKET_LIMIT_BYTES} bytes`);
    }
    if (destination.length !== ADDRESS_BYTES[this.#version]) throw new RangeError('not such an address');
    const errno = native('send raw packet', () => this.#native.send(packet, destination));
    return errno === 0 ? undefined : binding.errnoName(errno);
  }

  /** Repeating it does nothing. */
  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
