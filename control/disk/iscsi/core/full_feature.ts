// Owns the full feature phase of one session (RFC 7143, sections 4.2 and 11): what becomes of each PDU, in the order of
// CmdSN. Knows no bytes beside the PDU it is given, and no time.
import {
  FLAGS,
  LOGOUT_REASONS,
  LOGOUT_RESPONSES,
  OPCODES,
  RESERVED_TAG,
  type RejectReason,
  TASK_ATTRIBUTES,
  TASK_FUNCTION_NAMES,
  TASK_FUNCTIONS,
  TASK_RESPONSES,
  type TaskResponse,
} from '../codec/constants.ts';
import { PduView } from '../codec/pdu.ts';
import { serialDistance } from '../codec/serial_number.ts';
import type { Answers } from './answers.ts';
import type { Command, CommandResult, InitiatorPort, Request, TaskManagement } from './command.ts';
import { CommandOrder } from './command_order.ts';
import type { DataBuffers } from './data_buffers.ts';
import { COMMAND_DATA_BYTES_MAX, COMMANDS_MAX, EARLY_BYTES_MAX, IMMEDIATE_COMMANDS_MAX } from './limits.ts';
import type { Parameters } from './parameters.ts';
import type { Session } from './sessions.ts';
import { Task } from './task.ts';
import { Tasks } from './tasks.ts';
import type { TextExchange } from './text_exchange.ts';

/** Why a connection cannot go on, or need not. */
export type PhaseEnd = 'logout' | 'protocol error' | 'data digest error' | 'commands out of order';

export interface FullFeatureParts {
  readonly session: Session;
  readonly parameters: Parameters;
  readonly answers: Answers;
  readonly text: TextExchange;
  readonly buffers: DataBuffers;
  /** CmdSN of the login. */
  readonly CmdSN: number;
  /** Upper half of the references of its commands. */
  readonly nonce: number;
}

/** A PDU other than a SCSI Command that came before its turn. */
interface KeptPdu {
  readonly bytes: Uint8Array;
}

type Action = (phase: FullFeature, pdu: PduView) => void;

export class FullFeature {
  /** Set when the connection is to be closed, once what was said is sent. */
  ended: PhaseEnd | undefined;
  readonly order: CommandOrder<Task | KeptPdu>;
  readonly tasks: Tasks;
  readonly initiator: InitiatorPort;
  readonly #parts: FullFeatureParts;
  readonly #reference: bigint;
  #commands = 0;
  /** Task management that is to be handed out, and that was. */
  readonly #functions: TaskManagement[] = [];
  readonly #executing = new Set<TaskManagement>();
  #immediate = 0;
  #keptBytes = 0;
  #closed = false;
  readonly #kept = new PduView();

  constructor(parts: FullFeatureParts) {
    this.#parts = parts;
    const { session, answers } = parts;
    this.order = new CommandOrder(parts.CmdSN, COMMANDS_MAX);
    answers.window = this.order;
    this.initiator = { name: session.initiatorName, isid: session.isid };
    this.#reference = BigInt(parts.nonce) << 32n;
    this.tasks = new Tasks({
      parameters: parts.parameters,
      answers,
      buffers: parts.buffers,
      budget: session.initiator,
      holder: session.holder,
      over: (task) => {
        if (task.began) this.#answered(task.immediate);
      },
    });
  }

  /** A PDU came. What it leads to is in the answers, or in `next`. */
  step(pdu: PduView, digestError: boolean): void {
    if (pdu.opcode === OPCODES.SCSI_DATA_OUT) this.#takeData(pdu, digestError);
    else if (digestError) {
      // Section 7.8. At error recovery level 0 nobody sends the command again: a session that goes on would wait for it.
      this.#refuse(pdu, 'DATA_DIGEST_ERROR');
      this.ended = 'data digest error';
    } else this.#begin(pdu);
  }

  #begin(pdu: PduView): void {
    const discovery = this.#parts.session.targetName === undefined;
    const action = (discovery ? DISCOVERY_ACTIONS : ACTIONS)[pdu.opcode];
    if (action === undefined) this.#refuse(pdu, 'COMMAND_NOT_SUPPORTED');
    else if (pdu.opcode === OPCODES.SNACK_REQUEST) action(this, pdu);
    else if (pdu.immediate) {
      if (this.#immediate >= IMMEDIATE_COMMANDS_MAX) this.#refuse(pdu, 'IMMEDIATE_COMMAND_REJECT');
      else {
        this.#immediate += 1;
        action(this, pdu);
      }
    } else {
      const turn = this.order.judge(pdu.CmdSN);
      if (turn === 'early') this.#keep(pdu);
      if (turn !== 'now') return;
      this.order.begin();
      action(this, pdu);
      this.#drain();
    }
  }

  /** What is to be executed now. */
  next(unsentBytes: number): Request | undefined {
    const management = this.#functions.shift();
    if (management === undefined) return this.tasks.next(unsentBytes);
    this.#executing.add(management);
    return management;
  }

  complete(command: Command, result: CommandResult): boolean {
    return this.tasks.complete(command as Task, result);
  }

  /** Once it is complete, nobody hears of the commands it was about. */
  completeTaskManagement(management: TaskManagement, response: TaskResponse): void {
    if (!this.#executing.delete(management)) throw new Error('the function is answered already');
    if (response === TASK_RESPONSES.FUNCTION_COMPLETE) {
      for (const command of management.commands) this.tasks.abort(command as Task);
    }
    this.#answered(management.immediate);
    if (!this.#closed) this.#parts.answers.taskManagement(management.ITT, response);
  }

  /** Another initiator or another session ended the commands of a unit. Gives those that are being executed. */
  abortCommands(lun?: number): Command[] {
    const tasks = this.tasks.select(lun);
    const executing = tasks.filter(({ state }) => state === 'executing');
    for (const task of tasks) this.#abort(task);
    this.#drain();
    return executing;
  }

  /** Nothing is answered any more. */
  close(): void {
    this.#closed = true;
    this.tasks.close();
  }

  command(pdu: PduView): void {
    const task = this.#task(pdu);
    if (task === undefined) this.#answered(pdu.immediate);
    else this.tasks.activate(task);
  }

  /** Undefined: it was rejected. */
  #task(pdu: PduView): Task | undefined {
    const parsed = pdu.command();
    const attribute = TASK_ATTRIBUTES[pdu.flags & 0x07];
    const writes = (pdu.flags & FLAGS.WRITE) !== 0;
    const reads = (pdu.flags & FLAGS.READ) !== 0;
    const sound = writes || (pdu.final && pdu.dataBytes === 0);
    if (parsed === undefined || attribute === undefined || !sound || pdu.ITT === RESERVED_TAG) {
      this.#refuse(pdu, 'INVALID_PDU_FIELD');
      return undefined;
    }
    if (this.tasks.find(pdu.ITT) !== undefined) {
      this.#refuse(pdu, 'TASK_IN_PROGRESS');
      return undefined;
    }
    const bidirectional = reads && writes;
    const readBytes = bidirectional ? parsed.bidirectionalReadBytes : reads ? pdu.TTT : 0;
    const dataInMax = Math.min(readBytes, COMMAND_DATA_BYTES_MAX);
    this.#commands = (this.#commands + 1) >>> 0;
    const task = new Task(pdu, {
      initiator: this.initiator,
      reference: this.#reference | BigInt(this.#commands),
      attribute,
      cdb: parsed.cdb,
      writes,
      expectedBytes: pdu.TTT,
      dataInMax,
      dataInCut: readBytes - dataInMax,
      bidirectional,
    });
    this.tasks.add(task, pdu);
    return task;
  }

  #takeData(pdu: PduView, digestError: boolean): void {
    const verdict = this.tasks.takeData(pdu, digestError);
    if (verdict === 'wrong') {
      // Nobody asked for it: what else of this connection is to be believed?
      this.#refuse(pdu, 'PROTOCOL_ERROR');
      this.ended = 'protocol error';
    } else if (digestError) this.#refuse(pdu, 'DATA_DIGEST_ERROR');
  }

  manageTasks(pdu: PduView): void {
    const name = TASK_FUNCTION_NAMES[pdu.flags & 0x7f];
    if (name === undefined) {
      this.#answerFunction(pdu, TASK_RESPONSES.TASK_MANAGEMENT_FUNCTION_NOT_SUPPORTED);
    } else if (name === 'TASK_REASSIGN') {
      this.#answerFunction(pdu, TASK_RESPONSES.TASK_ALLEGIANCE_REASSIGNMENT_NOT_SUPPORTED);
    } else if (name === 'ABORT_TASK') this.#abortTask(pdu);
    else {
      const wholeTarget = TASK_FUNCTIONS[name] >= TASK_FUNCTIONS.TARGET_WARM_RESET;
      const tasks = name === 'CLEAR_ACA' ? [] : this.tasks.select(wholeTarget ? undefined : pdu.lun());
      this.#hand(pdu, name, this.#before(pdu.CmdSN, tasks));
    }
    this.#drain();
  }

  /** Section 11.5.1: commands that were numbered before the function. */
  #before(CmdSN: number, tasks: readonly Task[]): Task[] {
    return tasks.filter((task) => serialDistance(task.CmdSN, CmdSN) > 0 || task.immediate);
  }

  #abortTask(pdu: PduView): void {
    const task = this.tasks.find(pdu.TTT);
    if (task === undefined) {
      // Not here, but its number may come yet: then it is not to begin.
      const RefCmdSN = pdu.u32(32);
      const may = serialDistance(RefCmdSN, pdu.CmdSN) > 0 && this.order.passOver(RefCmdSN);
      this.#answerFunction(pdu, may ? TASK_RESPONSES.FUNCTION_COMPLETE : TASK_RESPONSES.TASK_DOES_NOT_EXIST);
    } else if (task.lun !== pdu.lun()) this.#answerFunction(pdu, TASK_RESPONSES.TASK_DOES_NOT_EXIST);
    else if (task.state === 'executing') this.#hand(pdu, 'ABORT_TASK', [task]);
    else {
      this.#abort(task);
      this.#answerFunction(pdu, TASK_RESPONSES.FUNCTION_COMPLETE);
    }
  }

  /** Those that nobody executes end here; the rest is the unit's. */
  #hand(pdu: PduView, name: TaskManagement['function'], affected: readonly Task[]): void {
    const commands = affected.filter(({ state }) => state === 'executing');
    for (const task of affected) if (task.state !== 'executing') this.#abort(task);
    this.#functions.push({
      kind: 'task management',
      function: name,
      initiator: this.initiator,
      lun: pdu.lun(),
      commands,
      ITT: pdu.ITT,
      immediate: pdu.immediate,
    });
  }

  #abort(task: Task): void {
    // It began neither here nor in the order of commands: its number is passed over.
    if (task.state === 'early') this.order.passOver(task.CmdSN);
    this.tasks.abort(task);
  }

  #answerFunction(pdu: PduView, response: TaskResponse): void {
    this.#answered(pdu.immediate);
    this.#parts.answers.taskManagement(pdu.ITT, response);
  }

  nop(pdu: PduView): void {
    this.#answered(pdu.immediate);
    // Without a tag it answers a question of ours, or wants no answer (section 11.18).
    if (pdu.ITT !== RESERVED_TAG) {
      this.#parts.answers.echo(pdu, this.#parts.parameters.MaxRecvDataSegmentLength);
    }
  }

  exchangeText(pdu: PduView): void {
    this.#answered(pdu.immediate);
    if (!this.#parts.text.step(pdu)) this.#refuse(pdu, 'INVALID_PDU_FIELD');
  }

  logOut(pdu: PduView): void {
    this.#answered(pdu.immediate);
    const { answers, session } = this.#parts;
    const reason = pdu.flags & 0x7f;
    if (reason === LOGOUT_REASONS.REMOVE_FOR_RECOVERY) {
      answers.logout(pdu.ITT, LOGOUT_RESPONSES.RECOVERY_NOT_SUPPORTED);
    } else if (reason === LOGOUT_REASONS.CLOSE_CONNECTION && pdu.u16(20) !== session.CID) {
      answers.logout(pdu.ITT, LOGOUT_RESPONSES.CID_NOT_FOUND);
    } else if (reason > LOGOUT_REASONS.REMOVE_FOR_RECOVERY) this.#refuse(pdu, 'INVALID_PDU_FIELD');
    else {
      answers.logout(pdu.ITT, LOGOUT_RESPONSES.CLOSED);
      this.ended = 'logout';
    }
  }

  /** Nothing is kept that could be sent again: error recovery level 0. */
  refuseSnack(pdu: PduView): void {
    this.#refuse(pdu, 'SNACK_REJECT');
  }

  /** A second login on a connection. */
  refuseLogin(pdu: PduView): void {
    this.#refuse(pdu, 'PROTOCOL_ERROR');
    this.ended = 'protocol error';
  }

  #refuse(pdu: PduView, reason: RejectReason): void {
    this.#parts.answers.reject(pdu, reason);
  }

  #answered(immediate: boolean): void {
    if (immediate) this.#immediate -= 1;
    else this.order.answered();
  }

  #keep(pdu: PduView): void {
    if (pdu.opcode === OPCODES.SCSI_COMMAND) {
      const task = this.#task(pdu);
      if (task !== undefined) this.order.keep(pdu.CmdSN, task);
      else this.order.passOver(pdu.CmdSN);
      return;
    }
    const bytes = pdu.bytes.slice(pdu.start, pdu.dataStart + pdu.dataBytes);
    this.#keptBytes += bytes.length;
    if (this.#keptBytes > EARLY_BYTES_MAX) this.ended = 'commands out of order';
    else this.order.keep(pdu.CmdSN, { bytes });
  }

  #drain(): void {
    while (this.ended === undefined) {
      const waiting = this.order.resume();
      if (waiting === undefined) return;
      if (waiting instanceof Task) this.tasks.activate(waiting);
      else {
        const { bytes } = waiting;
        this.#keptBytes -= bytes.length;
        const pdu = this.#kept;
        pdu.read(bytes, 0, 0);
        pdu.dataStart = bytes.length - pdu.dataBytes;
        ACTIONS[pdu.opcode]!(this, pdu);
      }
    }
  }
}

const ACTIONS: readonly (Action | undefined)[] = actions({
  NOP_OUT: (phase, pdu) => phase.nop(pdu),
  SCSI_COMMAND: (phase, pdu) => phase.command(pdu),
  TASK_MANAGEMENT_REQUEST: (phase, pdu) => phase.manageTasks(pdu),
  LOGIN_REQUEST: (phase, pdu) => phase.refuseLogin(pdu),
  TEXT_REQUEST: (phase, pdu) => phase.exchangeText(pdu),
  LOGOUT_REQUEST: (phase, pdu) => phase.logOut(pdu),
  SNACK_REQUEST: (phase, pdu) => phase.refuseSnack(pdu),
});

/** Section 4.3: a discovery session has no units. */
const DISCOVERY_ACTIONS: readonly (Action | undefined)[] = actions({
  NOP_OUT: (phase, pdu) => phase.nop(pdu),
  LOGIN_REQUEST: (phase, pdu) => phase.refuseLogin(pdu),
  TEXT_REQUEST: (phase, pdu) => phase.exchangeText(pdu),
  LOGOUT_REQUEST: (phase, pdu) => phase.logOut(pdu),
});

function actions(
  table: { readonly [Name in keyof typeof OPCODES]?: Action },
): readonly (Action | undefined)[] {
  const byOpcode: (Action | undefined)[] = [];
  for (const [name, action] of Object.entries(table))
    byOpcode[OPCODES[name as keyof typeof OPCODES]] = action;
  return byOpcode;
}
