// Writes what is generated and committed all the same, so that a reader and a review see it. scripts/generate.ts --check
// only compares.
//
// control/dataplane/generated/layout.ts: a codec for every struct and a table for every enum that bpf/layout.bpf.c roots
// in the types (BTF) of its compiled object, which `npm run generate` builds first. The others come from the control
// plane's own definitions.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { type Btf, type BtfType, generateCodecs, openObject } from 'libbpf-ts';
import { commandReference } from '../control/cli/reference.ts';
import { nodeFileJsonSchema } from '../control/config/node_file.ts';
import { API_DOCUMENTS } from './lib/api_documents.ts';
import { firstDifference } from './lib/difference.ts';

const OBJECT = 'out/bpf/layout.bpf.o';

const GENERATED: readonly { readonly path: string; readonly text: () => string | Promise<string> }[] = [
  { path: 'control/dataplane/generated/layout.ts', text: () => layout(OBJECT) },
  { path: 'control/config/holdfastd.schema.json', text: () => json(nodeFileJsonSchema()) },
  { path: 'control/cli/COMMANDS.md', text: commandReference },
  ...API_DOCUMENTS,
];

/** Names of the types of these kinds, in the order of the object: that of types.h. */
function named(btf: Btf, kinds: readonly BtfType['kind'][]): string[] {
  const types = Array.from({ length: btf.count }, (_, id) => btf.type(id));
  return types.filter(({ kind, name }) => kinds.includes(kind) && name !== '').map(({ name }) => name);
}

function layout(path: string): string {
  using object = openObject(path);
  const structs = named(object.btf, ['struct']);
  const enums = named(object.btf, ['enum', 'enum64']);
  if (structs.length + enums.length === 0)
    throw new Error(`${path} has no named type: what does layout.bpf.c root?`);
  return generateCodecs(object.btf, { structs, enums });
}

function json(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
process.chdir(new URL('..', import.meta.url).pathname);

if (!existsSync(OBJECT)) {
  console.error(`${OBJECT} is missing: run scripts/build`);
  process.exit(1);
}
for (const { path, text: generate } of GENERATED) {
  const text = await generate();
  const committed = existsSync(path) ? readFileSync(path, 'utf8') : '';
  if (values.check) {
    const difference = firstDifference(committed, text);
    if (difference === undefined) continue;
    console.error(`${path} is not what its sources say now:\n${difference}\nfix: npm run generate`);
    process.exitCode = 1;
  } else if (text !== committed) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    console.log(`wrote ${path}`);
  }
}
