// Owns the layout of mode parameter lists and pages (SPC-4 section 7.5, SBC-3 section 6.4). What a page says comes in
// `ModeSettings`; who may change it is decided elsewhere.
import { field, joined, NO_BYTES, setField } from './bytes.ts';

/** What MODE SELECT can change. */
export interface ModeSettings {
  /** D_SENSE: sense data in descriptor format. */
  readonly descriptorSense: boolean;
  /** SWP: software write protect. */
  readonly writeProtect: boolean;
  /** WCE: what is written may stay in the cache. */
  readonly writeCache: boolean;
}

export const MODE_DEFAULTS: ModeSettings = { descriptorSense: false, writeProtect: false, writeCache: true };

export const PAGE_CONTROL = { CURRENT: 0, CHANGEABLE: 1, DEFAULT: 2, SAVED: 3 } as const;
const ALL_PAGES = 0x3f;
const ALL_SUBPAGES = 0xff;
const CACHING = 0x08;
const CONTROL = 0x0a;

interface Page {
  readonly code: number;
  encode(settings: ModeSettings): Uint8Array;
}

/** In ascending order, as all pages are returned (SPC-4 section 6.11.1). */
const PAGES: readonly Page[] = [
  { code: 0x01, encode: () => page(0x01, 12, {}) },
  { code: CACHING, encode: ({ writeCache }) => page(CACHING, 20, { 2: writeCache ? 0x04 : 0 }) },
  {
    code: CONTROL,
    encode: ({ descriptorSense, writeProtect }) =>
      page(CONTROL, 12, {
        2: (descriptorSense ? 0x04 : 0) | 0x02, // D_SENSE, GLTSD; TST 000b: one task set for all
        4: writeProtect ? 0x08 : 0, // SWP
        5: 0x40, // TAS: a task that another initiator aborts ends with TASK ABORTED
        8: 0xff, // BUSY TIMEOUT PERIOD: without limit
        9: 0xff,
      }),
  },
  { code: 0x1c, encode: () => page(0x1c, 12, {}) },
];

function page(code: number, size: number, set: Readonly<Record<number, number>>): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes[0] = code;
  bytes[1] = size - 2;
  for (const [at, value] of Object.entries(set)) bytes[Number(at)] = value;
  return bytes;
}

const NOTHING_SET: ModeSettings = { descriptorSense: false, writeProtect: false, writeCache: false };
const ALL_SET: ModeSettings = { descriptorSense: true, writeProtect: true, writeCache: true };

/** The bits that `ALL_SET` sets and `NOTHING_SET` does not. */
function changeable(of: Page): Uint8Array {
  const bytes = of.encode(ALL_SET).map((byte, at) => byte ^ (of.encode(NOTHING_SET)[at] ?? 0));
  bytes.set(of.encode(ALL_SET).subarray(0, 2));
  return bytes;
}

/** Nothing for a page that does not exist. */
export function encodeModePages(
  settings: ModeSettings,
  pageControl: number,
  pageCode: number,
  subpage: number,
): Uint8Array | undefined {
  if (subpage !== 0 && subpage !== ALL_SUBPAGES) return undefined;
  const chosen = PAGES.filter((each) => pageCode === ALL_PAGES || each.code === pageCode);
  if (chosen.length === 0) return undefined;
  return joined(
    ...chosen.map((each) => {
      if (pageControl === PAGE_CONTROL.CHANGEABLE) return changeable(each);
      return each.encode(pageControl === PAGE_CONTROL.DEFAULT ? MODE_DEFAULTS : settings);
    }),
  );
}

export interface ModeHead {
  readonly long: boolean;
  readonly writeProtected: boolean;
  readonly blocks: number;
  readonly blockBytes: number;
  readonly descriptor: 'none' | 'short' | 'long LBA';
}

/** The header for six or ten bytes of CDB, the block descriptor and the pages. */
export function encodeModeData(head: ModeHead, pages: Uint8Array): Uint8Array {
  const descriptor = blockDescriptor(head);
  const header = new Uint8Array(head.long ? 8 : 4);
  const deviceSpecific = (head.writeProtected ? 0x80 : 0) | 0x10; // WP, DPOFUA
  if (head.long) {
    setField(header, 0, 2, header.length + descriptor.length + pages.length - 2);
    header[3] = deviceSpecific;
    header[4] = head.descriptor === 'long LBA' ? 1 : 0;
    setField(header, 6, 2, descriptor.length);
  } else {
    header[0] = header.length + descriptor.length + pages.length - 1;
    header[2] = deviceSpecific;
    header[3] = descriptor.length;
  }
  return joined(header, descriptor, pages);
}

function blockDescriptor({ descriptor, blocks, blockBytes }: ModeHead): Uint8Array {
  if (descriptor === 'none') return NO_BYTES;
  const bytes = new Uint8Array(descriptor === 'short' ? 8 : 16);
  if (descriptor === 'short') {
    setField(bytes, 0, 4, Math.min(blocks, 0xffff_ffff));
    setField(bytes, 5, 3, blockBytes);
  } else {
    setField(bytes, 0, 8, blocks);
    setField(bytes, 12, 4, blockBytes);
  }
  return bytes;
}

export type ModeSelection =
  | { readonly ok: true; readonly settings: ModeSettings }
  | { readonly ok: false; readonly why: 'length' }
  | { readonly ok: false; readonly why: 'field'; readonly byte: number };

/** The parameter list of MODE SELECT: settings with what it changes, or where it asks for what cannot be changed. */
export function decodeModeSelection(
  list: Uint8Array,
  long: boolean,
  settings: ModeSettings,
  blockBytes: number,
): ModeSelection {
  const headBytes = long ? 8 : 4;
  if (list.length < headBytes) return { ok: false, why: 'length' };
  const longLba = long && ((list[4] ?? 0) & 1) !== 0;
  const descriptorBytes = long ? field(list, 6, 2) : (list[3] ?? 0);
  if (list.length < headBytes + descriptorBytes) return { ok: false, why: 'length' };
  if (descriptorBytes !== 0) {
    if (descriptorBytes !== (longLba ? 16 : 8)) return { ok: false, why: 'field', byte: long ? 6 : 3 };
    const at = headBytes + (longLba ? 12 : 5);
    const asked = longLba ? field(list, at, 4) : field(list, at, 3);
    if (asked !== blockBytes && asked !== 0) return { ok: false, why: 'field', byte: at };
  }
  let chosen = settings;
  for (let at = headBytes + descriptorBytes; at < list.length; ) {
    const known = PAGES.find(({ code }) => code === ((list[at] ?? 0) & 0x7f));
    if (known === undefined) return { ok: false, why: 'field', byte: at };
    const current = known.encode(chosen);
    if (at + 2 > list.length || at + current.length > list.length) return { ok: false, why: 'length' };
    if (list[at + 1] !== current[1]) return { ok: false, why: 'field', byte: at + 1 };
    const mask = changeable(known);
    for (let byte = 2; byte < current.length; byte += 1) {
      const differs = (list[at + byte] ?? 0) ^ (current[byte] ?? 0);
      if ((differs & ~(mask[byte] ?? 0) & 0xff) !== 0) return { ok: false, why: 'field', byte: at + byte };
    }
    chosen = withPage(chosen, known.code, list.subarray(at, at + current.length));
    at += current.length;
  }
  return { ok: true, settings: chosen };
}

function withPage(settings: ModeSettings, code: number, bytes: Uint8Array): ModeSettings {
  if (code === CACHING) return { ...settings, writeCache: ((bytes[2] ?? 0) & 0x04) !== 0 };
  if (code !== CONTROL) return settings;
  return {
    ...settings,
    descriptorSense: ((bytes[2] ?? 0) & 0x04) !== 0,
    writeProtect: ((bytes[4] ?? 0) & 0x08) !== 0,
  };
}
