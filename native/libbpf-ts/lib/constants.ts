// Owns the encoding of variables that are set before load: which section holds a name, and what its type makes of
// the value.
import type { Btf } from './btf.ts';
import { describe } from './check.ts';

/** What setConstants takes: as the variable's codec, or its bytes. */
export type ConstantValue =
  | number
  | bigint
  | boolean
  | Uint8Array
  | readonly ConstantValue[]
  | { readonly [member: string]: ConstantValue };

interface Section {
  readonly index: number;
  readonly name: string;
  readonly typeId: number;
}

interface Place {
  readonly section: Section;
  readonly typeId: number;
  readonly offset: number;
  readonly sizeBytes: number;
}

/** The new content of every section that `values` changes, by the section's index. */
export function encodeConstants(
  btf: Btf,
  sections: readonly Section[],
  values: Record<string, ConstantValue>,
  initialValue: (index: number) => Uint8Array | undefined,
): Map<number, Uint8Array> {
  if (typeof values !== 'object' || values === null) {
    throw new TypeError(`values must be an object, got ${describe(values)}`);
  }
  const places = placesOf(btf, sections);
  const changed = new Map<number, Uint8Array>();
  for (const [name, value] of Object.entries(values)) {
    const place = places.get(name);
    if (place === undefined) {
      throw new TypeError(
        `no variable is named ${describe(name)}; there are: ${[...places.keys()].join(', ') || 'none'}`,
      );
    }
    const content = changed.get(place.section.index) ?? initialValue(place.section.index);
    if (content === undefined || place.offset + place.sizeBytes > content.byteLength) {
      throw new TypeError(`the variable ${name} has no initial value in section ${place.section.name}`);
    }
    encode(btf, name, place, value, content);
    changed.set(place.section.index, content);
  }
  return changed;
}

function encode(btf: Btf, name: string, place: Place, value: ConstantValue, content: Uint8Array): void {
  const target = content.subarray(place.offset, place.offset + place.sizeBytes);
  if (value instanceof Uint8Array) {
    if (value.byteLength !== place.sizeBytes) {
      throw new TypeError(`${name} must be ${place.sizeBytes} bytes, got ${value.byteLength}`);
    }
    target.set(value);
    return;
  }
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
  btf.codec(place.typeId, name).write(view, 0, value);
}

function placesOf(btf: Btf, sections: readonly Section[]): Map<string, Place> {
  const places = new Map<string, Place>();
  for (const section of sections) {
    for (const variable of btf.type(section.typeId).variables ?? []) {
      const declared = btf.type(variable.type);
      const { offset, sizeBytes } = variable;
      places.set(declared.name, { section, typeId: declared.target, offset, sizeBytes });
    }
  }
  return places;
}
