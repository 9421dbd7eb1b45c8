// Routing rules: struct fib_rule_hdr and FRA_* (linux/fib_rules.h).
import { attributeMap, putBytes, putU32 } from './attribute.ts';
import { Reader } from './bytes.ts';
import { checkFamily, checkInteger, checkObject, checkU32 } from './check.ts';
import { familyNumber, familyOf, type IpFamily } from './ip.ts';
import { encodeRequest, MessageFlag, MessageType } from './message.ts';

const FRA = { IIFNAME: 3, PRIORITY: 6, TABLE: 15, SPORT_RANGE: 23 } as const;
/** FR_ACT_TO_TBL. */
const TO_TABLE = 1;
const RULE_HEADER_BYTES = 12;
/** The kernel refuses a range that ends with 65535. */
const PORT_LIMIT = 65_534;
/** Interfaces of what the host sends itself. */
const OWN_PACKETS = 'lo\0';

/** Has what this host sends from these ports go by a table. */
export interface OwnPortsRule {
  readonly family: IpFamily;
  readonly priority: number;
  readonly table: number;
  readonly fromPort: number;
  readonly toPort: number;
}

/** Of any kind; what is not said of it here is not known. */
export interface Rule {
  readonly family: IpFamily;
  readonly priority: number;
  readonly table: number;
}

export function encodeRuleAdd(rule: OwnPortsRule): Uint8Array {
  return encodeRule(MessageType.NEWRULE, MessageFlag.ACK | MessageFlag.CREATE | MessageFlag.EXCL, rule);
}

export function encodeRuleDelete(rule: OwnPortsRule): Uint8Array {
  return encodeRule(MessageType.DELRULE, MessageFlag.ACK, rule);
}

export function encodeRulesDump(family: IpFamily): Uint8Array {
  checkFamily(family);
  return encodeRequest(MessageType.GETRULE, MessageFlag.DUMP, (writer) => {
    writer.u8(familyNumber(family));
    writer.zeros(RULE_HEADER_BYTES - 1);
  });
}

/** Undefined for another family. */
export function decodeRule(payload: Uint8Array): Rule | undefined {
  const reader = new Reader(payload, 'fib_rule_hdr');
  const family = familyOf(reader.u8());
  reader.skip(3);
  const shortTable = reader.u8();
  reader.skip(RULE_HEADER_BYTES - 5);
  if (family === undefined) return undefined;
  const map = attributeMap(reader.rest());
  return {
    family,
    priority: map.get(FRA.PRIORITY)?.u32() ?? 0,
    table: map.get(FRA.TABLE)?.u32() ?? shortTable,
  };
}

function encodeRule(type: number, flags: number, rule: OwnPortsRule): Uint8Array {
  checkObject(rule, 'rule');
  const { family, priority, table, fromPort, toPort } = rule;
  checkFamily(family);
  checkU32(priority, 'priority');
  checkU32(table, 'table');
  checkInteger(fromPort, 'fromPort', 1, 65_535);
  checkInteger(toPort, 'toPort', fromPort, PORT_LIMIT);
  const range = new Uint8Array(new Uint16Array([fromPort, toPort]).buffer);
  return encodeRequest(type, flags, (writer) => {
    writer.u8(familyNumber(family));
    writer.zeros(6);
    writer.u8(TO_TABLE);
    writer.zeros(4);
    putBytes(writer, FRA.IIFNAME, new TextEncoder().encode(OWN_PACKETS));
    putU32(writer, FRA.PRIORITY, priority);
    putU32(writer, FRA.TABLE, table);
    putBytes(writer, FRA.SPORT_RANGE, range);
  });
}
