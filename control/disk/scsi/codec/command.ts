// Owns what crosses between a transport (iSCSI, the RPC program) and the SCSI core: a command and its result. Knows no
// command and no transport.

/** SAM-5 section 4.7: whose command it is. Keys and attentions belong to this, so it must survive restarts of the VM. */
export interface InitiatorPort {
  readonly name: string;
  /** Six bytes, where sessions of one name are to be told apart. QEMU draws it anew at every start. */
  readonly isid?: Uint8Array;
}

/** SAM-5 section 8.5. */
export type TaskAttribute = 'simple' | 'ordered' | 'head';

export interface ScsiCommand {
  readonly initiator: InitiatorPort;
  /** RELATIVE TARGET PORT IDENTIFIER of the port that it came through; 1 without it. */
  readonly targetPort?: number;
  /** Unique among the commands of this initiator that are under way. */
  readonly reference: bigint;
  readonly cdb: Uint8Array;
  /** All that the initiator sends. It must not change until the result. */
  readonly dataOut: Uint8Array;
  /** As much as the initiator takes. */
  readonly dataInMax: number;
  readonly attribute: TaskAttribute;
  /** Where data for the initiator may be put; new memory without it. The result's `dataIn` lies in what it gives. */
  readonly space?: (lengthBytes: number) => Uint8Array;
}

export interface ScsiResult {
  /** SAM status. TASK ABORTED also for commands that their own initiator aborted, which get no response. */
  readonly status: number;
  readonly sense?: Uint8Array;
  readonly dataIn?: Uint8Array;
  /** What the initiator expected less what the command is about: above zero is underflow, below overflow. */
  readonly residual: number;
}

/** What one initiator is to the tables of the unit: name, and ISID where there is one. */
export function initiatorKey(initiator: InitiatorPort): string {
  if (initiator.isid === undefined) return initiator.name;
  const isid = Array.from(initiator.isid, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${initiator.name},i,0x${isid}`;
}
