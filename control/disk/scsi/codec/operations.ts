// Owns the answers of REPORT SUPPORTED OPERATION CODES and TASK MANAGEMENT FUNCTIONS (SPC-4 sections 6.35 and 6.36), made
// from the table of commands.
import { joined, NO_BYTES, setField } from './bytes.ts';
import { type CommandForm, findCommand, hasServiceActions } from './commands.ts';

/** SPC-4 section 6.35.4: nothing is promised about how long a command takes. */
const TIMEOUTS = Uint8Array.of(0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

export function encodeAllCommands(forms: readonly CommandForm[], withTimeouts: boolean): Uint8Array {
  const list = forms.map((form) => {
    const bytes = new Uint8Array(8);
    bytes[0] = form.operationCode;
    setField(bytes, 2, 2, form.serviceAction ?? 0);
    bytes[5] = (withTimeouts ? 0x02 : 0) | (form.serviceAction === undefined ? 0 : 0x01);
    setField(bytes, 6, 2, form.usage.length);
    return joined(bytes, withTimeouts ? TIMEOUTS : NO_BYTES);
  });
  const body = joined(...list);
  const head = new Uint8Array(4);
  setField(head, 0, 4, body.length);
  return joined(head, body);
}

const SUPPORT = { NONE: 1, STANDARD: 3 } as const;

/** REPORTING OPTIONS 001b to 011b (SPC-4 table 256); nothing where the option does not fit the operation code. */
export function encodeOneCommand(
  reportingOptions: number,
  operationCode: number,
  serviceAction: number,
  supported: (form: CommandForm) => boolean,
  withTimeouts: boolean,
): Uint8Array | undefined {
  const severalActions = hasServiceActions(operationCode);
  const known = findCommand(operationCode, 0) !== 'no such operation code';
  if (reportingOptions === 1 && severalActions) return undefined;
  if (reportingOptions === 2 && known && !severalActions) return undefined;
  let found = findCommand(operationCode, reportingOptions === 1 ? 0 : serviceAction);
  // With 011b a command without service actions has none but zero.
  if (reportingOptions === 3 && !severalActions && serviceAction !== 0) found = 'no such service action';
  if (typeof found === 'string' || !supported(found)) return Uint8Array.of(0, SUPPORT.NONE, 0, 0);
  const head = Uint8Array.of(0, SUPPORT.STANDARD | (withTimeouts ? 0x80 : 0), 0, 0);
  setField(head, 2, 2, found.usage.length);
  return joined(head, found.usage, withTimeouts ? TIMEOUTS : NO_BYTES);
}

/** ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET, TARGET RESET; `extended`: the form of 16 bytes. */
export function encodeTaskManagementFunctions(extended: boolean): Uint8Array {
  const short = Uint8Array.of(0xda, 0, 0, 0);
  if (!extended) return short;
  const bytes = new Uint8Array(16);
  bytes.set(short);
  bytes[3] = 12;
  return bytes;
}
