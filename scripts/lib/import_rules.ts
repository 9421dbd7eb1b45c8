// Owns the table of who may import whom: the arrows of ARCHITECTURE.md, nothing else. imports.ts applies it.
//
// A target is written as a path of this repository (`control/pool/plan.ts`), `node:fs`, `npm:zod` or, in C and C++,
// `<linux/ip.h>`.

export interface ImportRule {
  readonly name: string;
  /** Files the rule is about. */
  readonly of: readonly string[];
  readonly except?: readonly string[];
  /** Only these may be imported; without it, everything but `mustNot`. */
  readonly may?: readonly string[];
  readonly mustNot?: readonly string[];
  readonly butMay?: readonly string[];
  /** `import type` leaves nothing at run time, and some rules are about nothing else. */
  readonly typesAreFree?: boolean;
  readonly why: string;
  readonly fix: string;
}

const NODE = ['node:*', 'node:*/**'];
const PACKAGES = ['npm:*', 'npm:@*/*'];
const NATIVE_PACKAGES = ['npm:libbpf-ts', 'npm:@holdfast/linux'];
const SYSTEM_HEADERS = ['<*>', '<**/*>'];

/** What the daemon's API looks like from outside: all that its clients may know. */
const API_CONTRACT = [
  'control/api/client/**',
  'control/api/client.ts',
  'control/api/schema/**',
  'control/api/schema.ts',
];

/** All of `file` that `disk` may know. */
const FILESYSTEM_PORT = ['control/file/filesystem/port.ts'];

/** Kinds of files of control/, lowest first: each imports its own kind and lower ones. The first match decides. */
export const KINDS: readonly { readonly kind: string; readonly files: readonly string[] }[] = [
  { kind: 'lib', files: ['control/lib/**', 'control/config/**'] },
  {
    kind: 'codec',
    files: [
      'control/**/codec/**',
      'control/**/codec.ts',
      'control/**/*[_-]codec.ts',
      'control/dataplane/generated/**',
    ],
  },
  {
    kind: 'core',
    files: [
      'control/pool/**',
      'control/cluster/version.ts',
      'control/cluster/chain.ts',
      'control/cluster/copies.ts',
      'control/cluster/leaving.ts',
      'control/cluster/leader/**',
      'control/**/core/**',
      'control/**/core.ts',
      'control/**/*[_-]core.ts',
      'control/file/namespace/**',
      'control/file/namespace.ts',
      'control/disk/session/**',
      'control/disk/session.ts',
    ],
  },
  { kind: 'main', files: ['control/main.ts', 'control/node/**', 'control/cli/**', 'control/web/**'] },
  { kind: 'api', files: ['control/api/**'] },
  { kind: 'driver', files: ['control/**'] },
];

export const KIND_ORDER = ['lib', 'codec', 'core', 'driver', 'api', 'main'] as const;

/** Kinds that a simulation drives: no clock, randomness, socket or file of their own. */
export const PURE_KINDS = ['lib', 'codec', 'core'] as const;

/** Rooms of control/ and the rooms that each may import beside itself. */
export const ROOMS: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  config: ['lib'],
  io: ['lib', 'config'],
  store: ['lib', 'config', 'io'],
  cluster: ['lib', 'config', 'io', 'store'],
  pool: ['lib', 'config', 'store', 'cluster'],
  dataplane: ['lib', 'config', 'io', 'store', 'cluster', 'pool'],
  flow: ['lib', 'config', 'io', 'store', 'cluster', 'pool', 'dataplane'],
  affinity: ['lib', 'config', 'io', 'store', 'cluster', 'pool', 'dataplane', 'flow'],
  health: ['lib', 'config', 'io', 'store', 'cluster', 'pool'],
  route: ['lib', 'config', 'io', 'store', 'cluster', 'pool', 'dataplane'],
  trust: ['lib', 'config', 'io', 'store', 'cluster'],
  doctor: ['lib', 'config', 'io', 'dataplane'],
  file: ['lib', 'config', 'io', 'store', 'cluster'],
  disk: ['lib', 'config', 'io', 'store', 'cluster'],
};

function roomRule(room: string, others: readonly string[]): ImportRule {
  const port = room === 'disk' ? FILESYSTEM_PORT : [];
  return {
    name: `room ${room}`,
    of: [`control/${room}/**`],
    may: [...[room, ...others].map((name) => `control/${name}/**`), ...port, ...NODE, ...PACKAGES],
    why: `control/${room} stands on ${others.length === 0 ? 'no other room' : others.join(', ')} alone`,
    fix: 'move what both need to a lower room, or have control/main.ts pass it in as a port',
  };
}

const OWN_RULES: readonly ImportRule[] = [
  {
    name: 'file and disk meet through the filesystem port',
    of: ['control/disk/**'],
    mustNot: ['control/file/**'],
    butMay: FILESYSTEM_PORT,
    why: 'a disk is a file of the namespace, reached as any other client would reach it',
    fix: `import the port (${FILESYSTEM_PORT[0]}) and have control/main.ts pass in its implementation`,
  },
  {
    name: 'file and disk meet through the filesystem port',
    of: ['control/file/**'],
    mustNot: ['control/disk/**'],
    why: 'the file service must work without disks',
    fix: 'move what both need to control/lib, or hand it through the filesystem port',
  },
  {
    name: 'cli reaches the daemon only through its API',
    of: ['control/cli/**', 'control/web/**'],
    may: [
      'control/cli/**',
      'control/web/**',
      'control/lib/**',
      'control/config/**',
      ...API_CONTRACT,
      ...NODE,
      ...PACKAGES,
    ],
    why: 'what the CLI can do, every client of the API must be able to do',
    fix: `add what is missing to the API and call it through ${API_CONTRACT[1]}`,
  },
  {
    name: 'few know the native packages',
    of: ['control/**'],
    except: [
      'control/dataplane/**',
      'control/io/**',
      'control/route/**',
      'control/doctor/**',
      'control/file/filesystem/local/**',
      'control/main.ts',
    ],
    mustNot: NATIVE_PACKAGES,
    why: 'maps, programs and system calls are driven by dataplane, io, route, doctor and the local file system alone; main.ts builds them',
    fix: 'take a port from control/lib and let control/io or control/dataplane implement it',
  },
  {
    name: 'control stands on itself',
    of: ['control/**'],
    may: ['control/**', ...NODE, ...PACKAGES],
    why: 'control is the product; native packages are imported by name, and tests and scripts stand on control',
    fix: 'move the file into control, or import the package by its name',
  },
  {
    name: 'only the composition root builds',
    of: ['control/**'],
    mustNot: ['control/main.ts'],
    why: 'main.ts stands on everything, so nothing can stand on it',
    fix: 'move what is needed out of main.ts, to the room it belongs to',
  },
  ...['libbpf-ts', 'linux'].flatMap((name): ImportRule[] => [
    {
      name: 'native packages stand alone',
      of: [`native/${name}/**`],
      may: [`native/${name}/**`, ...NODE, ...PACKAGES, ...SYSTEM_HEADERS],
      why: 'the packages of native/ know nothing of this product',
      fix: 'pass it in as an argument, or move the code to control/io or control/dataplane',
    },
    {
      name: 'native packages stand alone',
      of: [`native/${name}/**`],
      mustNot: [...NATIVE_PACKAGES, 'npm:holdfast'],
      why: 'each package of native/ can be published without the others',
      fix: 'copy the few lines, or let control combine the two packages',
    },
  ]),
  {
    name: 'bpf knows nothing of user space',
    of: ['bpf/**'],
    may: [
      'bpf/**',
      '<linux/**>',
      '<linux/**/*>',
      '<asm/*>',
      '<bpf/*>',
      '<stddef.h>',
      '<stdbool.h>',
      '<stdint.h>',
    ],
    why: 'the programs are compiled for the kernel, from bpf/, kernel headers and helper declarations alone',
    fix: 'write the type in bpf/types.h; user space gets it by scripts/generate.ts',
  },
];

export const IMPORT_RULES: readonly ImportRule[] = [
  ...OWN_RULES,
  ...Object.entries(ROOMS).map(([room, others]) => roomRule(room, others)),
];

/** Rules by kind, which need the kind of both ends and so do not fit the table above. */
export const ARROW_RULE = {
  name: 'lib ← codecs ← cores ← drivers ← api ← main',
  why: 'an arrow never points up',
  fix: 'move what is needed down, or have the upper file pass it in',
} as const;

export const PURE_RULE: Omit<ImportRule, 'of'> = {
  name: 'cores are pure',
  mustNot: [...NODE, ...NATIVE_PACKAGES, 'control/io/**'],
  typesAreFree: true,
  why: 'a simulation must be able to drive them: no clock, randomness, socket or file inside',
  fix: 'take it as an event or an argument and return it as an effect; a driver performs it',
};
