// Owns an initiator without a socket, for tests: a target's parts, connections to it, and what is said on them.
import type { Command, Request, TaskManagement } from '../../../control/disk/iscsi/core/command.ts';
import { TargetConnection } from '../../../control/disk/iscsi/core/connection.ts';
import { DataBuffers } from '../../../control/disk/iscsi/core/data_buffers.ts';
import { LIMITS, type Limits, type Times } from '../../../control/disk/iscsi/core/limits.ts';
import { InputBuffers } from '../../../control/disk/iscsi/core/pdu_input.ts';
import { OutputSlabs } from '../../../control/disk/iscsi/core/pdu_output.ts';
import type { Authority, Cryptography, Grant } from '../../../control/disk/iscsi/core/ports.ts';
import { Sessions } from '../../../control/disk/iscsi/core/sessions.ts';
import { nodeCryptography } from './cryptography.ts';
import {
  buildPdu,
  concatenated,
  type Digests,
  type Extra,
  type Fields,
  type LoginFields,
  loginPdu,
  NO_TAG,
  parsePdus,
  type TargetPdu,
} from './wire.ts';

export const TARGET = 'iqn.2026-11.com.example:disk';
export const INITIATOR = 'iqn.2026-11.com.example:vm';
export const PORTAL = { address: '192.0.2.1', port: 3260, tag: 1 };
export const FIRST_CMDSN = 100;

/** Opcodes of section 11.2.1.2, as they are on the wire. */
export const IN = {
  NOP: 0x20,
  RESPONSE: 0x21,
  TASK: 0x22,
  LOGIN: 0x23,
  TEXT: 0x24,
  DATA: 0x25,
  LOGOUT: 0x26,
  R2T: 0x31,
  ASYNC: 0x32,
  REJECT: 0x3f,
} as const;

export interface HostOptions {
  readonly grant?: Grant;
  readonly authority?: Authority;
  readonly cryptography?: Cryptography;
  readonly limits?: Partial<Limits>;
  readonly times?: Times;
  readonly largeMax?: number;
}

/** What grants everybody the same. */
export function granting(grant: Grant = {}): Authority {
  return {
    authorize: (_, name) => (name === undefined || name === TARGET ? grant : { refused: 'NOT_FOUND' }),
    targets: () => [{ name: TARGET, portals: [PORTAL] }],
  };
}

export function host(options: HostOptions = {}) {
  const sessions = new Sessions({ ...LIMITS, ...options.limits });
  const inputs = new InputBuffers({ largeMax: options.largeMax ?? 4 });
  const slabs = new OutputSlabs();
  const buffers = new DataBuffers();
  const refused: string[] = [];
  const connect = (nowMs = 0): Initiator => {
    const initiator: Initiator = new Initiator(
      new TargetConnection({
        portal: PORTAL,
        authority: options.authority ?? granting(options.grant),
        cryptography: options.cryptography ?? nodeCryptography,
        sessions,
        inputs,
        slabs,
        buffers,
        ...(options.times && { times: options.times }),
        nowMs,
        wake: () => {
          initiator.woken += 1;
        },
        refused: (status) => refused.push(status),
      }),
    );
    return initiator;
  };
  return { connect, sessions, inputs, refused };
}

export class Initiator {
  readonly connection: TargetConnection;
  /** Requests that were handed out. */
  readonly requests: Request[] = [];
  woken = 0;
  digests: Digests = {};
  CmdSN = FIRST_CMDSN;
  chunkBytes = Infinity;
  nowMs = 0;
  #lastITT = 0x1000;

  constructor(connection: TargetConnection) {
    this.connection = connection;
  }

  get commands(): Command[] {
    return this.requests.filter((request) => request.kind === 'command');
  }

  get functions(): TaskManagement[] {
    return this.requests.filter((request) => request.kind === 'task management');
  }

  /** Sends what fits, and gives what is answered at once. */
  say(...pdus: readonly Uint8Array[]): TargetPdu[] {
    const bytes = concatenated(pdus);
    for (let at = 0; at < bytes.length; ) {
      const space = this.connection.space();
      const count = Math.min(space.length, this.chunkBytes, bytes.length - at);
      if (count === 0) break;
      space.set(bytes.subarray(at, at + count));
      at += count;
      this.connection.received(count, this.nowMs);
      this.#drain();
    }
    return this.heard();
  }

  /** What the target said meanwhile. */
  heard(): TargetPdu[] {
    this.#drain();
    const digests = this.digests;
    const flushes = this.connection.flush(this.nowMs);
    const pdus = parsePdus(concatenated(flushes.map(({ bytes }) => bytes)), digests);
    for (const flush of flushes) this.connection.sent(flush, this.nowMs);
    this.#drain();
    return pdus;
  }

  #drain(): void {
    const { connection } = this;
    for (let request = connection.next(this.nowMs); request; request = connection.next(this.nowMs))
      this.requests.push(request);
  }

  /** Through the operational stage at once. */
  logIn(keys: Readonly<Record<string, string | number>> = {}, fields: LoginFields = {}): TargetPdu {
    const who = { InitiatorName: INITIATOR, TargetName: TARGET };
    const CmdSN = this.CmdSN;
    const [answer, ...more] = this.say(loginPdu({ ...who, ...keys }, { CSG: 1, NSG: 3, CmdSN, ...fields }));
    if (answer === undefined || more.length > 0) throw new Error('one answer was expected');
    if (answer.word36 !== 0) return answer;
    this.digests = { header: keys.HeaderDigest === 'CRC32C', data: keys.DataDigest === 'CRC32C' };
    return answer;
  }

  pdu(fields: Fields, extra: Extra = {}): Uint8Array {
    return buildPdu({ flags: 0x80, CmdSN: this.CmdSN, ...fields }, { digests: this.digests, ...extra });
  }

  nextITT(): number {
    this.#lastITT += 1;
    return this.#lastITT;
  }

  /** A SCSI Command that takes the next number; R, W and F by `flags`. */
  command(fields: Fields, extra: Extra = {}): Uint8Array {
    const pdu = this.pdu({ opcode: 0x01, ITT: this.nextITT(), ...fields }, extra);
    this.CmdSN = (this.CmdSN + 1) % 2 ** 32;
    return pdu;
  }

  dataOut(
    ITT: number,
    TTT: number,
    DataSN: number,
    offset: number,
    data: Uint8Array,
    final = true,
  ): Uint8Array {
    const flags = final ? 0x80 : 0;
    return this.pdu({ opcode: 0x05, flags, ITT, TTT, DataSN, offset, CmdSN: 0 }, { data });
  }

  /** An immediate one. */
  manage(functionNumber: number, fields: Fields = {}): Uint8Array {
    return this.pdu({
      opcode: 0x42,
      flags: 0x80 | functionNumber,
      ITT: this.nextITT(),
      RTT: NO_TAG,
      ...fields,
    });
  }
}

/** SCSI Command flags. */
export const READ = 0xc0 | 0x01;
export const WRITE = 0xa0 | 0x01;

export const counted = (length: number, first = 0): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => (first + at * 7 + (at >> 8)) & 255);
