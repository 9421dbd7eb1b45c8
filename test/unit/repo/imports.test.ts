// The arrows of ARCHITECTURE.md hold in this tree, and the checker that says so sees every kind of breach.
import { describe, expect, it } from 'vitest';
import { checkFile, checkImports, importsOf } from '../../../scripts/lib/imports.ts';

const from = (specifier: string) => `import { x } from '${specifier}';\n`;
const rulesBroken = (path: string, text: string) => checkFile(path, text).map(({ rule }) => rule);

const ARROWS = 'lib ← codecs ← cores ← drivers ← api ← main';
const PURE = 'cores are pure';
const PORT = 'file and disk meet through the filesystem port';
const NATIVE = 'few know the native packages';
const ALONE = 'native packages stand alone';
const BPF = 'bpf knows nothing of user space';
const CLI = 'cli reaches the daemon only through its API';

describe('import rules', () => {
  it('hold in this tree', () => {
    expect(checkImports().map(({ message }) => message)).toEqual([]);
  });

  it.each([
    ['control/pool/plan.ts', from('node:fs'), PURE],
    ['control/pool/plan.ts', from('fs/promises'), PURE],
    ['control/disk/session/session.ts', from('../../io/socket.ts'), PURE],
    ['control/file/namespace/apply.ts', from('libbpf-ts'), PURE],
    ['control/cluster/core.ts', from('node:timers'), PURE],
    ['control/cluster/membership_core.ts', from('node:crypto'), PURE],
    ['control/lib/bytes.ts', from('node:buffer'), PURE],
    ['control/file/nfs/codec.ts', from('node:buffer'), PURE],
    ['control/lib/bytes.ts', from('../store/etcd.ts'), 'room lib'],
    ['control/pool/plan.ts', from('../flow/sweep.ts'), 'room pool'],
    ['control/store/etcd.ts', from('../cluster/lease.ts'), 'room store'],
    ['control/cluster/members.ts', from('../flow/sweep.ts'), 'room cluster'],
    ['control/flow/sweep.ts', from('../api/server.ts'), 'room flow'],
    ['control/cluster/core.ts', from('./driver.ts'), ARROWS],
    ['control/file/nfs/codec.ts', from('../namespace/names.ts'), ARROWS],
    ['control/api/server.ts', from('../cli/apply.ts'), ARROWS],
    ['control/api/server.ts', from('../main.ts'), 'only the composition root builds'],
    ['control/disk/image/file.ts', from('../../file/server.ts'), PORT],
    ['control/file/server.ts', from('../disk/owner.ts'), PORT],
    ['control/cli/drain.ts', from('../cluster/members.ts'), CLI],
    ['control/cli/drain.ts', from('../api/server.ts'), CLI],
    ['control/flow/sweep.ts', from('libbpf-ts'), NATIVE],
    ['control/api/server.ts', from('@holdfast/linux'), NATIVE],
    ['control/dataplane/maps.ts', from('../../native/libbpf-ts/lib/map.ts'), 'control stands on itself'],
    ['control/main.ts', from('../test/lab/topology.ts'), 'control stands on itself'],
    ['control/main.ts', from('../../elsewhere.ts'), 'control stands on itself'],
    ['native/libbpf-ts/index.ts', from('../../control/lib/bytes.ts'), ALONE],
    ['native/libbpf-ts/lib/link.ts', from('@holdfast/linux'), ALONE],
    ['native/linux/lib/netns.ts', from('../../libbpf-ts/index.ts'), ALONE],
    ['native/linux/src/addon.cc', '#include "../../../bpf/types.h"\n', ALONE],
    ['bpf/mux.bpf.c', '#include "../native/linux/src/addon.h"\n', BPF],
    ['bpf/mux.bpf.c', '#include <stdio.h>\n', BPF],
    ['bpf/mux.bpf.c', '#include <arpa/inet.h>\n', BPF],
  ])('%s may not contain %j', (path, text, rule) => {
    expect(rulesBroken(path, text)).toEqual([rule]);
  });

  it.each([
    ['control/pool/plan.ts', from('../lib/bytes.ts') + from('./slots.ts')],
    ['control/pool/plan.ts', "import type { Socket } from 'node:net';\n"],
    ['control/dataplane/generated/layout.ts', "import type { Codec } from 'libbpf-ts';\n"],
    ['control/dataplane/loader.ts', from('libbpf-ts') + from('node:fs') + from('./generated/layout.ts')],
    ['control/route/neighbours.ts', from('@holdfast/linux')],
    ['control/disk/owner/file.ts', from('../../file/filesystem/port.ts')],
    ['control/cli/drain.ts', from('../api/client.ts') + from('yargs') + from('node:fs')],
    ['control/api/server.ts', from('../cluster/members.ts') + from('../flow/sweep.ts')],
    ['control/main.ts', from('./io/clock.ts') + from('./api/server.ts')],
    ['native/linux/lib/netns.ts', from('./native.ts') + from('node:fs')],
    ['native/linux/src/addon.cc', '#include <napi.h>\n#include "netns.h"\n#include <linux/netlink.h>\n'],
    [
      'bpf/mux.bpf.c',
      '#include "types.h"\n#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n#include <linux/netfilter/x.h>\n',
    ],
    ['test/lab/demo.ts', from('../../control/flow/sweep.ts')],
  ])('%s may contain %j', (path, text) => {
    expect(rulesBroken(path, text)).toEqual([]);
  });

  it('say where, which rule, why and what to do', () => {
    const [violation] = checkFile('control/pool/plan.ts', `// one\n// two\n${from('node:fs')}`);
    expect(violation!.message).toBe(
      [
        'control/pool/plan.ts:3: imports node:fs',
        '  rule: cores are pure: a simulation must be able to drive them: no clock, randomness, socket or file inside',
        '  fix:  take it as an event or an argument and return it as an effect; a driver performs it',
      ].join('\n'),
    );
  });
});

describe('finding imports', () => {
  const targets = (text: string) => importsOf('control/x/y.ts', text).map(({ target }) => target);

  it('sees every way to import', () => {
    const text = [
      "import a from './a.ts';",
      "import b, { type c } from './b.ts';",
      "import * as d from './d.ts';",
      "import './e.ts';",
      "export { f } from './f.ts';",
      "export * from './g.ts';",
      "export * as h from './h.ts';",
      "import {\n  i,\n  j,\n} from './i.ts';",
      "const k = await import('./k.ts');",
      "const l = require('./l.ts');",
      "import m from '@scope/m/sub/path.js';",
    ].join('\n');
    const local = ['a', 'b', 'd', 'e', 'f', 'g', 'h', 'i'].map((name) => `control/x/${name}.ts`);
    expect(targets(text)).toEqual([...local, 'npm:@scope/m', 'control/x/k.ts', 'control/x/l.ts']);
  });

  it('does not see imports in comments, templates and text', () => {
    const text = [
      "// import a from './a.ts';",
      "/*\nimport b from './b.ts';\n*/",
      "const c = `\nimport d from './d.ts';\n`;",
      'const e = "import f from \'./f.ts\';";',
      "export const from = 'nowhere';",
    ].join('\n');
    expect(targets(text)).toEqual([]);
  });

  it('tells types from values', () => {
    const text =
      "import type { a } from './a.ts';\nexport type { b } from './b.ts';\nimport { type c } from './c.ts';\n";
    expect(importsOf('control/x/y.ts', text).map(({ typeOnly }) => typeOnly)).toEqual([true, true, false]);
  });
});
