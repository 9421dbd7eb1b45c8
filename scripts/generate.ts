// Writes control/dataplane/generated/layout.ts: a codec for every struct and a table for every enum that
// bpf/layout.bpf.c roots in the types (BTF) of its compiled object. scripts/generate.ts --check only compares.
//
// The object is what scripts/build made of the sources; `npm run generate` builds first.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { type Btf, type BtfType, generateCodecs, openObject } from 'libbpf-ts';
import { firstDifference } from './lib/difference.ts';

const OBJECT = 'out/bpf/layout.bpf.o';
const TARGET = 'control/dataplane/generated/layout.ts';

/** Names of the types of these kinds, in the order of the object: that of types.h. */
function named(btf: Btf, kinds: readonly BtfType['kind'][]): string[] {
  const types = Array.from({ length: btf.count }, (_, id) => btf.type(id));
  return types.filter(({ kind, name }) => kinds.includes(kind) && name !== '').map(({ name }) => name);
}

function generate(path: string): string {
  using object = openObject(path);
  const structs = named(object.btf, ['struct']);
  const enums = named(object.btf, ['enum', 'enum64']);
  if (structs.length + enums.length === 0)
    throw new Error(`${path} has no named type: what does layout.bpf.c root?`);
  return generateCodecs(object.btf, { structs, enums });
}

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
process.chdir(new URL('..', import.meta.url).pathname);

if (!existsSync(OBJECT)) {
  console.error(`${OBJECT} is missing: run scripts/build`);
  process.exit(1);
}
const text = generate(OBJECT);
const committed = existsSync(TARGET) ? readFileSync(TARGET, 'utf8') : '';
if (values.check) {
  const difference = firstDifference(committed, text);
  if (difference !== undefined) {
    console.error(`${TARGET} is not what bpf/types.h says now:\n${difference}\nfix: npm run generate`);
    process.exitCode = 1;
  }
} else if (text !== committed) {
  mkdirSync(dirname(TARGET), { recursive: true });
  writeFileSync(TARGET, text);
  console.log(`wrote ${TARGET}`);
}
