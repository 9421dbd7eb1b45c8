// Owns what a program finds of the one before it: which maps that had, which of them the new one can go on with as they
// are, and reading values of another layout. What becomes of those it cannot is the programs' own (mux_state.ts).
import type { LoadedObject, MapTypes, OpenMap, OpenObject } from 'libbpf-ts';
import { BpfMap, describeType, Program, transcoder } from 'libbpf-ts';
import type { PinDirectory } from './pins.ts';

/** A map that outlives its program. */
export type StateMap = {
  readonly name: string;
  /** Names of constants that its content was computed with. */
  readonly dependsOn: readonly string[];
  /** Maps that can only be taken over together with it. */
  readonly with?: readonly string[];
  /** Enums whose numbers its content goes by. */
  readonly enumNames?: readonly string[];
};

export type Inheritance = {
  readonly maps: ReadonlyMap<string, BpfMap>;
  /** `const volatile` variables, as they stand in memory. */
  readonly constants: ReadonlyMap<string, Uint8Array>;
};

/** The name of the map of constants among pins, which take no dots. */
const CONSTANTS = '.rodata';

/** What is attached by pinned links, or else what maps are pinned; undefined where there is neither. */
export function findInheritance(pins: PinDirectory): Inheritance | undefined {
  const maps = mapsOfLinks(pins) ?? mapsOfPins(pins);
  const constants = maps?.get(CONSTANTS);
  if (maps === undefined || constants === undefined) return undefined;
  return { maps, constants: constantsOf(constants) };
}

/** Has `opened` use what maps it can of `from`; returns their names. */
export function inherit(
  opened: OpenObject,
  from: Inheritance,
  states: readonly StateMap[],
  constants: Readonly<Record<string, Uint8Array>>,
): Set<string> {
  const fits = inheritable(opened, from, states, constants);
  for (const name of fits) opened.maps.get(name)!.reuse(from.maps.get(name)!);
  return fits;
}

/** The maps of `from` that `opened` could go on with as they are. */
export function inheritable(
  opened: OpenObject,
  from: Inheritance,
  states: readonly StateMap[],
  constants: Readonly<Record<string, Uint8Array>>,
): Set<string> {
  const fits = new Set(
    states.filter((state) => canStay(opened, from, state, constants)).map(({ name }) => name),
  );
  for (const { name, with: others = [] } of states)
    if (others.some((other) => !fits.has(other))) fits.delete(name);
  return fits;
}

/** The maps to pin, by the names of their pins. */
export function pinnable(object: LoadedObject, states: readonly StateMap[]): Map<string, BpfMap> {
  const names = [...states.map(({ name }) => name), CONSTANTS];
  return new Map(names.map((name) => [pinName(name), object.map(name)]));
}

/** The elements of a map of another build: those of an array, or of the array that a section of variables is. */
export type OldElements = {
  readonly count: number;
  /** Writes element `index` at `to` of `target` in the layout of today. */
  read(index: number, target: DataView, to: number): void;
};

/** `mapped` is the memory of `from`; `to` is the same map of the new object. */
export function elementsOf(from: BpfMap, to: BpfMap): OldElements {
  const source = arrayOf(from);
  const target = arrayOf(to);
  const view = new DataView(from.mmap());
  const transcode = transcoder(
    { btf: source.types.btf, type: source.element },
    { btf: target.types.btf, type: target.element },
  );
  return {
    count: source.count,
    read: (index, targetView, at) => transcode(view, index * source.strideBytes, targetView, at),
  };
}

/** Keys and values of a hash of another build, in the layout of today. */
export function* entriesOf(from: BpfMap, to: BpfMap): Generator<[key: Uint8Array, value: Uint8Array]> {
  const source = typesOf(from);
  const target = typesOf(to);
  const parts = (['key', 'value'] as const).map((part) =>
    transcoder({ btf: source.btf, type: source[part] }, { btf: target.btf, type: target[part] }),
  );
  for (const [key, value] of from.entries()) {
    const out = [new Uint8Array(to.info.keySize), new Uint8Array(to.info.valueSize)] as const;
    parts[0]!(viewOf(key), 0, viewOf(out[0]), 0);
    parts[1]!(viewOf(value), 0, viewOf(out[1]), 0);
    yield [out[0], out[1]];
  }
}

/** Names and numbers of an enum, if the map's build has it. */
export function enumOf(
  map: { types(): MapTypes | undefined },
  name: string,
): Record<string, number> | undefined {
  const found = map.types()?.btf.find(name, 'enum');
  if (found?.values === undefined) return undefined;
  return Object.fromEntries(found.values.map((it) => [it.name, Number(it.value)]));
}

function mapsOfLinks(pins: PinDirectory): Map<string, BpfMap> | undefined {
  const programs = pins.links().map(({ link }) => {
    using it = link;
    return Program.openById(it.info().programId);
  });
  // A process that died while it upgraded has left links with the program before; the newest has all there is.
  const infos = programs.map((program) => program.info());
  for (const program of programs) program.close();
  const newest = infos.toSorted((a, b) => (a.loadTimeNs < b.loadTimeNs ? -1 : 1)).at(-1);
  if (newest === undefined) return undefined;
  return new Map(newest.mapIds.map((id) => BpfMap.openById(id)).map((map) => [declaredName(map), map]));
}

function mapsOfPins(pins: PinDirectory): Map<string, BpfMap> | undefined {
  const pinned = pins.maps();
  return pinned && new Map([...pinned.values()].map((map) => [declaredName(map), map]));
}

/** As in the object file: the kernel cuts the names of sections short. */
function declaredName(map: BpfMap): string {
  const types = map.types();
  const type = types?.btf.type(types.value);
  return type?.kind === 'datasec' ? type.name : map.info.name;
}

const pinName = (name: string): string => name.replace(/^\.(data\.)?/, '');

function constantsOf(map: BpfMap): Map<string, Uint8Array> {
  const types = typesOf(map);
  const bytes = map.lookup(new Uint8Array(4)) ?? new Uint8Array(map.info.valueSize);
  const variables = types.btf.type(types.value).variables ?? [];
  return new Map(
    variables.map(({ type, offset, sizeBytes }) => [
      types.btf.type(type).name,
      bytes.slice(offset, offset + sizeBytes),
    ]),
  );
}

function canStay(
  opened: OpenObject,
  from: Inheritance,
  state: StateMap,
  constants: Readonly<Record<string, Uint8Array>>,
): boolean {
  const old = from.maps.get(state.name);
  const now = opened.maps.get(state.name)!;

  if (old === undefined || layoutOf(old, old.info) !== layoutOf(now, now)) return false;
  if (state.enumNames?.some((name) => enumText(old, name) !== enumText(now, name))) return false;
  return state.dependsOn.every((name) => {
    const before = from.constants.get(name);
    return before !== undefined && Buffer.compare(before, constants[name]!) === 0;
  });
}

function enumText(map: { types(): MapTypes | undefined }, name: string): string {
  return JSON.stringify(enumOf(map, name) ?? null);
}

type Sizes = Pick<OpenMap, 'type' | 'keySize' | 'valueSize' | 'maxEntries' | 'flags'>;

function layoutOf(map: { types(): MapTypes | undefined }, sizes: Sizes): string {
  const types = map.types();
  const text = (id: number): string => (types === undefined || id === 0 ? '' : describeType(types.btf, id));
  const { type, keySize, valueSize, maxEntries, flags } = sizes;
  return [type, keySize, valueSize, maxEntries, flags, text(types?.key ?? 0), text(types?.value ?? 0)].join(
    ' ',
  );
}

function arrayOf(map: BpfMap): { types: MapTypes; element: number; strideBytes: number; count: number } {
  const types = typesOf(map);
  const type = types.btf.resolve(types.value);
  if (type.kind !== 'datasec') {
    const strideBytes = Math.ceil(map.info.valueSize / 8) * 8;
    return { types, element: types.value, strideBytes, count: map.info.maxEntries };
  }
  const [variable, ...others] = type.variables!;
  const target = variable && types.btf.resolve(types.btf.type(variable.type).target);
  if (variable === undefined || others.length > 0 || (target?.kind !== 'array' && target?.kind !== 'struct'))
    throw new Error(`map ${map.info.name} is no array`);
  const { sizeBytes: strideBytes } = variable;
  // A struct by itself is an array of one.
  if (target.kind === 'struct') return { types, element: target.id, strideBytes, count: 1 };
  const count = target.length!;
  return { types, element: target.target, strideBytes: strideBytes / count, count };
}

function typesOf(map: BpfMap): MapTypes {
  const types = map.types();
  if (types === undefined) throw new Error(`map ${map.info.name} was declared without types`);
  return types;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
