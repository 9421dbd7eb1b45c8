// Examines the network namespace that it is started in, and prints the findings. With `attach` it first attaches a
// program and pins its link as the daemon does. `ip netns exec` gives it a /sys of its own, without BPF file system.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { Rtnetlink } from '@holdfast/linux';
import { openObject } from 'libbpf-ts';
import { examine, type Question } from '../../control/doctor/facts.ts';

export type Request = {
  readonly question: Question;
  readonly mountBpf: boolean;
  readonly attach?: {
    readonly object: string;
    readonly program: string;
    readonly mode: 'native' | 'generic';
  };
};

const { question, mountBpf, attach } = JSON.parse(process.argv[2]!) as Request;
const PINS = `/sys/fs/bpf/holdfast/${question.roles[0]}`;

if (mountBpf) execFileSync('mount', ['-t', 'bpf', 'bpf', '/sys/fs/bpf']);
if (attach !== undefined) {
  using rtnetlink = new Rtnetlink();
  const ifindex = rtnetlink.link('eth0')!.ifindex;
  mkdirSync(PINS, { recursive: true });
  using object = openObject(attach.object).load();
  const link = object.program(attach.program).attachXdp({ interface: ifindex, mode: attach.mode });
  link.pin(`${PINS}/link_${ifindex}`);
}
process.stdout.write(`${JSON.stringify(await examine(question))}\n`);
