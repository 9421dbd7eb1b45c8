// Owns one connection of an iSCSI target between its socket and the units behind it: bytes in → login, then commands and
// task management; results in any order → bytes out; limits and times. It has no socket and no clock; a driver reads
// into `space`, asks `next` for requests, answers them, and writes what `flush` gives.
import { FLAGS, type LoginStatusName, OPCODES, STAGES, type TaskResponse } from '../codec/constants.ts';
import { PduView } from '../codec/pdu.ts';
import { Answers, type AsyncMessage } from './answers.ts';
import type { Command, CommandResult, Request, TaskManagement } from './command.ts';
import type { DataBuffers } from './data_buffers.ts';
import { FullFeature, type PhaseEnd } from './full_feature.ts';
import { DATA_SEGMENT_BYTES_MAX, TIMES, type Times, UNSENT_BYTES_MAX } from './limits.ts';
import { type Identity, Login, type LoginFailure, type LoginRequest } from './login.ts';
import { type InputBuffers, type InputFailure, PduInput } from './pdu_input.ts';
import { type Flush, type OutputSlabs, PduOutput } from './pdu_output.ts';
import type { Authority, Cryptography, Portal } from './ports.ts';
import type { Holder, Session, Sessions } from './sessions.ts';
import { TextExchange } from './text_exchange.ts';

export type CloseReason =
  | InputFailure
  | PhaseEnd
  | 'login failed'
  | 'login too slow'
  | 'PDU too slow'
  | 'answers not taken'
  | 'no answer to a ping'
  | 'session reinstated'
  | 'ended by the target';

export interface ConnectionParts {
  readonly portal: Portal;
  readonly authority: Authority;
  readonly cryptography: Cryptography;
  readonly sessions: Sessions;
  readonly inputs: InputBuffers;
  readonly slabs: OutputSlabs;
  readonly buffers: DataBuffers;
  readonly times?: Times;
  readonly nowMs: number;
  /** There is something for `flush`, or `closing` is set, without the driver having asked for anything. */
  readonly wake?: () => void;
  /** Hears why a login was refused. */
  readonly refused?: (status: LoginFailure['status'], identity: Identity | undefined) => void;
}

const NO_SPACE = new Uint8Array(0);
const NO_TEXT = new Uint8Array(0);
/** Of pings; nobody else's tag has this. */
const PING_TTT = 0x8000_0000;

export class TargetConnection implements Holder {
  /** Why it is to be closed, once what `flush` gives is written. No more requests come. */
  closing: CloseReason | undefined;
  readonly #parts: ConnectionParts;
  readonly #times: Times;
  readonly #input: PduInput;
  readonly #output: PduOutput;
  readonly #answers: Answers;
  readonly #pdu = new PduView();
  readonly #login: Login;
  #session: Session | undefined;
  #phase: FullFeature | undefined;
  #closed = false;
  readonly #begunMs: number;
  #heardMs: number;
  /** When a PDU began that is not complete; -1: none. */
  #pduMs = -1;
  /** When the initiator was asked whether it is there; -1: it was not. */
  #pingMs = -1;
  #unsent = 0;
  #sentMs: number;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
    this.#times = parts.times ?? TIMES;
    this.#input = new PduInput(parts.inputs);
    this.#output = new PduOutput(parts.slabs);
    this.#answers = new Answers(this.#output);
    this.#login = new Login(parts);
    this.#begunMs = parts.nowMs;
    this.#heardMs = parts.nowMs;
    this.#sentMs = parts.nowMs;
  }

  /** Once the login is over. */
  get session(): Session | undefined {
    return this.#session;
  }

  /** Who it says it is, from the first PDU on. */
  get identity(): Identity | undefined {
    return this.#login.identity;
  }

  /** Too much is not sent: read no more until something is `sent`. */
  get paused(): boolean {
    return this.#output.unsentBytes > UNSENT_BYTES_MAX;
  }

  /** Commands that were handed out and are not answered, aborted ones among them. */
  get executing(): ReadonlySet<Command> {
    return this.#phase?.tasks.executing ?? NOTHING;
  }

  /** Where the next bytes from the socket are to go, once `next` gave undefined. Empty when none are wanted. */
  space(): Uint8Array {
    if (this.closing !== undefined || this.#closed || this.paused) return NO_SPACE;
    const space = this.#input.space();
    if (this.#input.failure !== undefined) this.#stop(this.#input.failure);
    return space;
  }

  /** So many bytes were read into `space`. */
  received(count: number, nowMs: number): void {
    this.#input.filled(count);
    this.#heardMs = nowMs;
    this.#pingMs = -1;
  }

  /**
   * The next request; undefined: read more, unless `paused` or `closing`. To be asked after `received`, `sent` and
   * `complete`, until it gives undefined.
   */
  next(nowMs: number): Request | undefined {
    if (this.#closed) return undefined;
    while (this.closing === undefined) {
      const request = this.#phase?.next(this.#output.unsentBytes);
      if (request !== undefined) return request;
      if (this.paused) return undefined;
      if (!this.#input.next(this.#pdu)) break;
      this.#pduMs = -1;
      if (this.#phase === undefined) this.#logIn(this.#pdu);
      else {
        this.#phase.step(this.#pdu, this.#input.dataDigestError);
        if (this.#phase.ended !== undefined) this.#stop(this.#phase.ended);
      }
    }
    if (this.#input.failure !== undefined) this.#stop(this.#input.failure);
    if (this.#pduMs < 0 && this.#input.partial) this.#pduMs = nowMs;
    return undefined;
  }

  /** False: nobody waited for it any more. What lies in `result` is copied. */
  complete(command: Command, result: CommandResult): boolean {
    return this.#phase!.complete(command, result);
  }

  completeTaskManagement(management: TaskManagement, response: TaskResponse): void {
    this.#phase!.completeTaskManagement(management, response);
  }

  /**
   * Commands of a unit (or of all) end without an answer, because of another session. Gives those that were handed out:
   * they are still to be completed, for nobody.
   */
  abortCommands(lun?: number): readonly Command[] {
    return this.#phase?.abortCommands(lun) ?? [];
  }

  /** Tells the initiator what it did not ask. */
  notify(message: AsyncMessage): void {
    if (this.#phase !== undefined && !this.#over) this.#answers.async(message);
  }

  /** All answers that are ready; each is one write. To be asked whenever no more requests are at hand. */
  flush(nowMs: number): readonly Flush[] {
    const flushes = this.#output.flush();
    if (this.#unsent === 0) this.#sentMs = nowMs;
    this.#unsent += flushes.length;
    return flushes;
  }

  /** The bytes are written, or never will be. */
  sent(flush: Flush, nowMs: number): void {
    this.#output.sent(flush);
    this.#unsent -= 1;
    this.#sentMs = nowMs;
  }

  /** When `expire` is to be asked next. */
  get deadlineMs(): number {
    const { loginMs, pduMs, sendMs, quietMs, pingMs } = this.#times;
    const login = this.#phase === undefined ? this.#begunMs + loginMs : Infinity;
    const pdu = this.#pduMs < 0 || this.paused ? Infinity : this.#pduMs + pduMs;
    const send = this.#unsent === 0 ? Infinity : this.#sentMs + sendMs;
    const quiet = this.#pingMs < 0 ? this.#heardMs + quietMs : this.#pingMs + pingMs;
    // What is not read because too much is not sent is no silence.
    return Math.min(login, pdu, send, this.#phase === undefined || this.paused ? Infinity : quiet);
  }

  /** Sets `closing` if a time is over; asks a silent initiator whether it is there, which `flush` then has. */
  expire(nowMs: number): CloseReason | undefined {
    if (this.#over || nowMs < this.deadlineMs) return this.closing;
    const { pduMs, sendMs, pingMs } = this.#times;
    if (this.#phase === undefined) this.#stop('login too slow');
    else if (this.#unsent > 0 && nowMs >= this.#sentMs + sendMs) this.#stop('answers not taken');
    else if (this.#pduMs >= 0 && nowMs >= this.#pduMs + pduMs) this.#stop('PDU too slow');
    else if (this.#pingMs >= 0 && nowMs >= this.#pingMs + pingMs) this.#stop('no answer to a ping');
    else if (this.#pingMs < 0) {
      this.#pingMs = nowMs;
      this.#answers.ping(PING_TTT);
    }
    return this.closing;
  }

  /** Another connection takes the session, or the target wants to be rid of it. */
  end(reason: 'session reinstated' | 'ended by the target'): void {
    this.#stop(reason);
    this.#parts.wake?.();
  }

  resume(): void {
    if (this.#over) return;
    this.#phase?.tasks.resume();
    this.#parts.wake?.();
  }

  /** The socket is gone. Commands that were handed out are still to be completed, for nobody. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#input.close();
    this.#release();
    this.#output.close();
  }

  get #over(): boolean {
    return this.#closed || this.closing !== undefined;
  }

  #stop(reason: CloseReason): void {
    this.closing ??= reason;
    this.#release();
  }

  #release(): void {
    this.#phase?.close();
    if (this.#session !== undefined) this.#parts.sessions.close(this.#session);
  }

  #logIn(pdu: PduView): void {
    if (pdu.opcode !== OPCODES.LOGIN_REQUEST) {
      this.#fail(pdu, { status: 'INVALID_DURING_LOGIN', text: NO_TEXT });
      return;
    }
    const request = loginRequest(pdu);
    const answer = this.#login.step(request);
    if (answer.status !== 'SUCCESS') {
      this.#fail(pdu, answer);
      return;
    }
    const { transit, CSG, NSG, text } = answer;
    const over = transit && NSG === STAGES.FULL_FEATURE;
    if (over) {
      const refused = this.#begin(request, pdu.CmdSN);
      if (refused !== undefined) {
        this.#fail(pdu, { status: refused, text: NO_TEXT });
        return;
      }
    } else this.#answers.window = { ExpCmdSN: pdu.CmdSN, MaxCmdSN: pdu.CmdSN };
    const flags = (transit ? FLAGS.TRANSIT : 0) | (CSG << 2) | NSG;
    this.#answers.login(pdu, 'SUCCESS', flags, { TSIH: this.#session?.TSIH ?? request.TSIH, text });
    if (over) this.#useDigests();
  }

  #fail(pdu: PduView, { status, text }: LoginFailure): void {
    this.#answers.login(pdu, status, 0, { TSIH: 0, text });
    this.#stop('login failed');
    this.#parts.refused?.(status, this.#login.identity);
  }

  /** Undefined: the session is there. */
  #begin(request: LoginRequest, CmdSN: number): Exclude<LoginStatusName, 'SUCCESS'> | undefined {
    const { sessions, portal, authority, buffers, cryptography } = this.#parts;
    const { parameters } = this.#login;
    const { initiatorName, targetName } = this.#login.identity!;
    const name = { initiatorName, targetName, isid: request.isid, portalGroupTag: portal.tag };
    const session = sessions.open(name, request.TSIH, request.CID, this);
    if (typeof session === 'string') return session;
    this.#session = session;
    const random = cryptography.random(4);
    const text = new TextExchange(
      { initiatorName, targetName, portal, authority, parameters },
      this.#answers,
    );
    this.#phase = new FullFeature({
      session,
      parameters,
      answers: this.#answers,
      text,
      buffers,
      CmdSN,
      nonce: new DataView(random.buffer, random.byteOffset).getUint32(0),
    });
    return undefined;
  }

  /** Section 6.3.4: behind the last PDU of the login, in both directions. */
  #useDigests(): void {
    const { HeaderDigest, DataDigest } = this.#login.parameters;
    this.#input.headerDigest = HeaderDigest;
    this.#input.dataDigest = DataDigest;
    this.#input.dataBytesMax = DATA_SEGMENT_BYTES_MAX;
    this.#output.headerDigest = HeaderDigest;
    this.#output.dataDigest = DataDigest;
  }
}

const NOTHING: ReadonlySet<Command> = new Set();

function loginRequest(pdu: PduView): LoginRequest {
  const { flags } = pdu;
  return {
    CSG: (flags >>> 2) & 3,
    NSG: flags & 3,
    transit: (flags & FLAGS.TRANSIT) !== 0,
    continues: (flags & FLAGS.CONTINUE) !== 0,
    versionMin: pdu.u8(3),
    isid: pdu.isid(),
    TSIH: pdu.u16(14),
    CID: pdu.u16(20),
    data: pdu.data(),
  };
}
