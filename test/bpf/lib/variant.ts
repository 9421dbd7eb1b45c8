// Makes a tree of another version of the product: this one with patches, compiled and generated as this one is. For
// upgrades: a process of one version takes over from a process of the other.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OWN_TREE } from './held.ts';

export type Patch = { file: string; from: string; to: string };

const COPIED = ['bpf', 'control', 'scripts/generate.ts', 'scripts/lib', 'test/bpf/lib', 'package.json'];
const OBJECTS = ['layout', 'mux', 'decap'];

/** The tree's path. */
export function makeVariant(name: string, patches: readonly Patch[]): string {
  const tree = join(OWN_TREE, 'out/variant', name);
  rmSync(tree, { recursive: true, force: true });
  for (const path of COPIED) cpSync(join(OWN_TREE, path), join(tree, path), { recursive: true });
  for (const { file, from, to } of patches) {
    const path = join(tree, file);
    const text = readFileSync(path, 'utf8');
    if (!text.includes(from)) throw new Error(`${file} does not have what variant ${name} patches: ${from}`);
    writeFileSync(path, text.replace(from, to));
  }
  mkdirSync(join(tree, 'out/bpf'), { recursive: true });
  const { compiler, flags } = compilation();
  for (const object of OBJECTS)
    execFileSync(compiler, [...flags, '-c', `bpf/${object}.bpf.c`, '-o', `out/bpf/${object}.bpf.o`], {
      cwd: tree,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  execFileSync(process.execPath, ['--conditions=source', 'scripts/generate.ts'], {
    cwd: tree,
    stdio: 'ignore',
  });
  return tree;
}

/** As scripts/build does it. */
function compilation(): { compiler: string; flags: string[] } {
  const script = '. scripts/lib/build.sh; bpf_compiler; bpf_flags';
  const said = execFileSync('bash', ['-c', script], { cwd: OWN_TREE, encoding: 'utf8' });
  const [compiler, ...flags] = said.trim().split('\n');
  return { compiler: compiler!, flags };
}

/**
 * Nearly everything that a layout can change by: members added and moved, integers and arrays made larger, enum values
 * that are others' now.
 */
export const NEXT_VERSION: readonly Patch[] = [
  { file: 'bpf/types.h', from: '#define SERVICES_MAX 4096', to: '#define SERVICES_MAX 8192' },
  {
    file: 'bpf/types.h',
    from: '  __be32 client_mask[4]; /* with SERVICE_CLIENT_AFFINITY; IPv4 uses word 3 */\n  __be16 port;',
    to: '  __be16 port;',
  },
  {
    file: 'bpf/types.h',
    from: '  __u32 pool;\n  __u8 quic_config_rotation;',
    to: '  __u32 pool;\n  __be32 client_mask[4];\n  __u8 quic_config_rotation;',
  },
  {
    file: 'bpf/types.h',
    from: 'entries of older generations do not point at it */\n  __u8 reserved[14];',
    to: 'entries of older generations do not point at it */\n  __u16 shade;\n  __u8 reserved[12];',
  },
  { file: 'bpf/types.h', from: '  PASS_NOT_A_SERVICE,', to: '  PASS_NEW_KIND,\n  PASS_NOT_A_SERVICE,' },
  {
    file: 'bpf/types.h',
    from: '  __u32 service;\n  __u16 backend;\n  __u16 generation;\n};\nSIZE_IS(struct fragment_entry, 16);',
    to: '  __u32 backend;\n  __u32 service;\n  __u32 generation;\n  __u32 reserved;\n};\nSIZE_IS(struct fragment_entry, 24);',
  },
  { file: 'bpf/types.h', from: '#define MUX_SOURCES_MAX 64', to: '#define MUX_SOURCES_MAX 128' },
];
