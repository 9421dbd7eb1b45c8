// Owns the checks that make an ELF file safe to hand to libelf and libbpf, which trust more of it than they should.
// It reads no meaning: which sections matter, and what is in them, is libbpf's business.
import { Btf } from './btf.ts';

/** The bytes are not a well-formed BPF object file. */
export class ElfError extends Error {
  override readonly name = 'ElfError';
  readonly code = 'ERR_BPF_ELF';
}

const HEADER_BYTES = 64;
const SECTION_BYTES = 64;
const SYMBOL_BYTES = 24;
const RELOCATION_BYTES = 16;
const EM_BPF = 247;
const ET_REL = 1;
const SHT_SYMTAB = 2;
const SHT_STRTAB = 3;
const SHT_RELA = 4;
const SHT_NOBITS = 8;
const SHT_REL = 9;
const SHN_LORESERVE = 0xff00;
/** A section larger than this is no BPF section; libbpf allocates what .bss claims. */
const MAX_SECTION_BYTES = 1 << 30;

interface Section {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly link: number;
  readonly info: number;
  readonly entryBytes: number;
}

/** Throws an ElfError (or a BtfError for the BTF inside) unless every table in the file stays within the file. */
export function checkElf(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < HEADER_BYTES)
    throw new ElfError(`${bytes.byteLength} bytes are too few for an ELF header`);
  if (view.getUint32(0, false) !== 0x7f454c46) throw new ElfError('not an ELF file');
  if (view.getUint8(4) !== 2) throw new ElfError('not a 64-bit ELF file');
  const little = view.getUint8(5) === 1;
  if (!little) throw new ElfError('an ELF file of the other byte order');
  if (view.getUint16(18, little) !== EM_BPF)
    throw new ElfError('not a BPF object: it is for another machine');
  if (view.getUint16(16, little) !== ET_REL) throw new ElfError('not a relocatable object');

  const sections = readSections(view, bytes);
  for (const section of sections) {
    if (section.type === SHT_SYMTAB) checkSymbols(view, bytes, section, sections);
    if (section.type === SHT_REL || section.type === SHT_RELA) checkRelocations(view, section, sections);
    if (section.name === '.BTF' && section.type !== SHT_NOBITS) {
      Btf.parse(bytes.subarray(section.offset, section.offset + section.sizeBytes));
    }
  }
}

function readSections(view: DataView, bytes: Uint8Array): Section[] {
  const table = Number(view.getBigUint64(40, true));
  const entryBytes = view.getUint16(58, true);
  const count = view.getUint16(60, true);
  const namesIndex = view.getUint16(62, true);
  if (count === 0 || entryBytes !== SECTION_BYTES) throw new ElfError('no section table');
  if (table % 8 !== 0 || table + count * SECTION_BYTES > bytes.byteLength) {
    throw new ElfError(`the section table of ${count} entries at ${table} is cut off`);
  }
  if (namesIndex >= count) throw new ElfError('no section holds the section names');

  const raw = Array.from({ length: count }, (_, index) => {
    const at = table + index * SECTION_BYTES;
    return {
      index,
      nameOffset: view.getUint32(at, true),
      type: view.getUint32(at + 4, true),
      offset: Number(view.getBigUint64(at + 24, true)),
      sizeBytes: Number(view.getBigUint64(at + 32, true)),
      link: view.getUint32(at + 40, true),
      info: view.getUint32(at + 44, true),
      entryBytes: Number(view.getBigUint64(at + 56, true)),
    };
  });
  for (const section of raw) {
    const inFile = section.index === 0 || section.type === SHT_NOBITS ? 0 : section.sizeBytes;
    if (section.offset + inFile > bytes.byteLength || section.sizeBytes > MAX_SECTION_BYTES) {
      throw new ElfError(
        `section ${section.index} of ${section.sizeBytes} bytes at ${section.offset} is cut off`,
      );
    }
    if (section.link >= count)
      throw new ElfError(`section ${section.index} links to a section that is not there`);
    if (section.type === SHT_STRTAB) checkStrings(bytes, section);
  }
  const names = raw[namesIndex]!;
  if (names.type !== SHT_STRTAB) throw new ElfError('the section names are not a string table');
  return raw.map(({ nameOffset, ...section }) => ({
    ...section,
    name: stringAt(bytes, names, nameOffset, 'section'),
  }));
}

function checkStrings(bytes: Uint8Array, section: Pick<Section, 'index' | 'offset' | 'sizeBytes'>): void {
  const last = section.offset + section.sizeBytes - 1;
  if (section.sizeBytes === 0 || bytes[last] !== 0) {
    throw new ElfError(`string table ${section.index} does not end in a NUL`);
  }
}

function stringAt(
  bytes: Uint8Array,
  table: Pick<Section, 'offset' | 'sizeBytes'>,
  at: number,
  what: string,
): string {
  if (at >= table.sizeBytes) throw new ElfError(`a ${what} name lies outside of its string table`);
  const from = table.offset + at;
  return new TextDecoder().decode(bytes.subarray(from, bytes.indexOf(0, from)));
}

function checkSymbols(view: DataView, bytes: Uint8Array, table: Section, sections: readonly Section[]): void {
  const strings = sections[table.link]!;
  if (strings.type !== SHT_STRTAB) throw new ElfError('the symbol table has no string table');
  if (table.entryBytes !== SYMBOL_BYTES || table.sizeBytes % SYMBOL_BYTES !== 0 || table.offset % 8 !== 0) {
    throw new ElfError(`the symbol table of ${table.sizeBytes} bytes is malformed`);
  }
  for (let at = table.offset; at < table.offset + table.sizeBytes; at += SYMBOL_BYTES) {
    const name = stringAt(bytes, strings, view.getUint32(at, true), 'symbol');
    const section = view.getUint16(at + 6, true);
    if (section === 0 || section >= SHN_LORESERVE) continue;
    const home = sections[section];
    const end = Number(view.getBigUint64(at + 8, true)) + Number(view.getBigUint64(at + 16, true));
    if (home === undefined) throw new ElfError(`symbol ${name} is in section ${section}, which is not there`);
    if (end > home.sizeBytes)
      throw new ElfError(`symbol ${name} ends at ${end}, beyond section ${home.name}`);
  }
}

function checkRelocations(view: DataView, table: Section, sections: readonly Section[]): void {
  const target = sections[table.info];
  const symbols = sections[table.link]!;
  if (target === undefined || symbols.type !== SHT_SYMTAB) {
    throw new ElfError(`relocation section ${table.name} has no target or no symbols`);
  }
  const entry = table.type === SHT_RELA ? RELOCATION_BYTES + 8 : RELOCATION_BYTES;
  if (table.entryBytes !== entry || table.sizeBytes % entry !== 0 || table.offset % 8 !== 0) {
    throw new ElfError(`relocation section ${table.name} is malformed`);
  }
  const count = Math.floor(symbols.sizeBytes / SYMBOL_BYTES);
  for (let at = table.offset; at < table.offset + table.sizeBytes; at += entry) {
    const place = Number(view.getBigUint64(at, true));
    const symbol = view.getUint32(at + 12, true);
    if (place >= target.sizeBytes)
      throw new ElfError(`a relocation in ${table.name} lies beyond ${target.name}`);
    if (symbol >= count) throw new ElfError(`a relocation in ${table.name} names a symbol that is not there`);
  }
}
