// Owns the table from commands to what executes them, and which blocks each of them touches.

import type { ScsiCommand } from '../codec/command.ts';
import { blocksOf, type CommandName, lbaOf, lengthOf, type NamedForm } from '../codec/commands.ts';
import * as copying from './copying.ts';
import * as information from './information.ts';
import * as medium from './medium.ts';
import type { Outcome } from './outcome.ts';
import * as persistent from './persistent.ts';
import * as provisioning from './provisioning.ts';
import type { Span, Task } from './task_set.ts';
import type { NexusState, Unit } from './unit.ts';

type Execute = (
  unit: Unit,
  task: Task,
  nexus: NexusState,
  abortTasksOf: persistent.AbortTasksOf,
) => Outcome | Promise<Outcome>;

/** `reads` and `writes` touch the blocks that the CDB says; `all` the whole medium; what is missing touches nothing. */
type Touches = 'reads' | 'writes' | 'all' | 'unmaps' | 'copies' | 'reservations';

export interface Handler {
  readonly execute: Execute;
  readonly touches: Touches | undefined;
}

const does = (execute: Execute, touches?: Touches): Handler => ({ execute, touches });
const reads = does(medium.read, 'reads');
const writes = does(medium.write, 'writes');
const verifies = does(medium.verify, 'reads');
const writesAndVerifies = does(medium.writeAndVerify, 'writes');
const writesSame = does(provisioning.writeSame, 'writes');
const prefetches = does(medium.prefetch);
const synchronizes = does(medium.synchronizeCache);
const sensesMode = does(information.modeSense);
const selectsMode = does(information.modeSelect);
const reserves = does(persistent.persistentReserveOut, 'reservations');
const readsDefects = does(information.readDefectData);

export const HANDLERS: Readonly<Record<CommandName, Handler>> = {
  'TEST UNIT READY': does(information.testUnitReady),
  'REQUEST SENSE': does(information.requestSense),
  'READ(6)': reads,
  'WRITE(6)': writes,
  INQUIRY: does(information.inquiry),
  'MODE SELECT(6)': selectsMode,
  'RESERVE(6)': does(persistent.reserve6),
  'RELEASE(6)': does(persistent.release6),
  'MODE SENSE(6)': sensesMode,
  'START STOP UNIT': does(information.startStopUnit),
  'SEND DIAGNOSTIC': does(information.sendDiagnostic),
  'PREVENT ALLOW MEDIUM REMOVAL': does(information.preventAllowMediumRemoval),
  'READ CAPACITY(10)': does(information.readCapacity10),
  'READ(10)': reads,
  'WRITE(10)': writes,
  'WRITE AND VERIFY(10)': writesAndVerifies,
  'VERIFY(10)': verifies,
  'PRE-FETCH(10)': prefetches,
  'SYNCHRONIZE CACHE(10)': synchronizes,
  'READ DEFECT DATA(10)': readsDefects,
  'WRITE SAME(10)': writesSame,
  UNMAP: does(provisioning.unmap, 'unmaps'),
  'SANITIZE OVERWRITE': does(provisioning.sanitizeOverwrite, 'all'),
  'SANITIZE BLOCK ERASE': does(provisioning.sanitizeBlockErase, 'all'),
  'SANITIZE EXIT FAILURE MODE': does(provisioning.exitFailureMode),
  'MODE SELECT(10)': selectsMode,
  'MODE SENSE(10)': sensesMode,
  'PERSISTENT RESERVE IN READ KEYS': does(persistent.readKeys),
  'PERSISTENT RESERVE IN READ RESERVATION': does(persistent.readReservation),
  'PERSISTENT RESERVE IN REPORT CAPABILITIES': does(persistent.reportCapabilities),
  'PERSISTENT RESERVE IN READ FULL STATUS': does(persistent.readFullStatus),
  'PERSISTENT RESERVE OUT REGISTER': reserves,
  'PERSISTENT RESERVE OUT RESERVE': reserves,
  'PERSISTENT RESERVE OUT RELEASE': reserves,
  'PERSISTENT RESERVE OUT CLEAR': reserves,
  'PERSISTENT RESERVE OUT PREEMPT': reserves,
  'PERSISTENT RESERVE OUT PREEMPT AND ABORT': reserves,
  'PERSISTENT RESERVE OUT REGISTER AND IGNORE EXISTING KEY': reserves,
  'PERSISTENT RESERVE OUT REGISTER AND MOVE': reserves,
  'EXTENDED COPY(LID1)': does(copying.extendedCopy, 'copies'),
  'RECEIVE COPY STATUS(LID1)': does(copying.receiveCopyStatus),
  'RECEIVE COPY OPERATING PARAMETERS': does(copying.receiveCopyOperatingParameters),
  'READ(16)': reads,
  'COMPARE AND WRITE': does(medium.compareAndWrite, 'writes'),
  'WRITE(16)': writes,
  'ORWRITE(16)': does(medium.orWrite, 'writes'),
  'WRITE AND VERIFY(16)': writesAndVerifies,
  'VERIFY(16)': verifies,
  'PRE-FETCH(16)': prefetches,
  'SYNCHRONIZE CACHE(16)': synchronizes,
  'WRITE SAME(16)': writesSame,
  'WRITE ATOMIC(16)': does(medium.writeAtomic, 'writes'),
  'READ CAPACITY(16)': does(information.readCapacity16),
  'GET LBA STATUS': does(provisioning.getLbaStatus),
  'REPORT LUNS': does(information.reportLuns),
  'REPORT TARGET PORT GROUPS': does(information.reportTargetPortGroups),
  'REPORT SUPPORTED OPERATION CODES': does(information.reportSupportedOperationCodes),
  'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS': does(information.reportTaskManagementFunctions),
  'READ(12)': reads,
  'WRITE(12)': writes,
  'WRITE AND VERIFY(12)': writesAndVerifies,
  'VERIFY(12)': verifies,
  'READ DEFECT DATA(12)': readsDefects,
};

const NOTHING: readonly Span[] = [];
const RESERVATIONS: readonly Span[] = [{ of: 'reservations', from: 0, to: 1, writes: true }];
const EVERYTHING: readonly Span[] = [{ of: 'medium', from: 0, to: Number.POSITIVE_INFINITY, writes: true }];

export function spansOf(unit: Unit, form: NamedForm, command: ScsiCommand): readonly Span[] {
  const { touches } = HANDLERS[form.name];
  switch (touches) {
    case 'reads':
    case 'writes': {
      const from = lbaOf(form, command.cdb);
      const to = from + blocksOf(form, command.cdb);
      return [{ of: 'medium', from, to, writes: touches === 'writes' }];
    }
    case 'unmaps':
    case 'all':
      return EVERYTHING;
    case 'copies':
      return copying.copySpans(unit, command.dataOut.subarray(0, lengthOf(form, command.cdb)));
    case 'reservations':
      return RESERVATIONS;
    default:
      return NOTHING;
  }
}
