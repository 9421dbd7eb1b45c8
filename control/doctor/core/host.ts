// Owns the checks of the kernel and of what the host has installed and mounted.
import type { HostFacts } from './facts.ts';
import { type Finding, subject } from './finding.ts';

/** XDP links came with 5.9, BPF features the programs are compiled for by 5.18 (scripts/lib/setup.sh). */
const KERNEL_OLDEST = [5, 18] as const;

export function hostFindings(host: HostFacts): Finding[] {
  return [
    ...kernel(host),
    ...bpf(host),
    ...jit(host),
    ...jitHarden(host),
    ...bpfFileSystem(host),
    ...ethtool(host),
  ];
}

function kernel({ kernelRelease }: HostFacts): Finding[] {
  const check = subject('kernel');
  const [major, minor] = (/^(\d+)\.(\d+)/.exec(kernelRelease) ?? []).slice(1).map(Number);
  if (major === undefined || minor === undefined) {
    return [check.note(`the version of the kernel cannot be read from ${kernelRelease}`)];
  }
  const oldest = KERNEL_OLDEST.join('.');
  const enough = major > KERNEL_OLDEST[0] || (major === KERNEL_OLDEST[0] && minor >= KERNEL_OLDEST[1]);
  if (enough) return [check.ok(`Linux ${kernelRelease} is ${oldest} or newer`)];
  return [
    check.error(
      `Linux ${kernelRelease} is older than ${oldest}, which Holdfast needs`,
      'apt-get update && apt-get install linux-image-$(dpkg --print-architecture) && reboot',
    ),
  ];
}

function bpf({ features }: HostFacts): Finding[] {
  const check = subject('bpf');
  return check.known('what the kernel has of BPF', features, ({ btf, xdp, xdpLinks, ringBuffer }) => {
    const findings: Finding[] = [];
    if (!btf.supported) {
      findings.push(check.error(`the kernel does not describe its types (BTF): ${btf.reason}`));
    }
    if (!xdp.supported) findings.push(check.error(`XDP programs cannot be loaded: ${xdp.reason}`));
    if (!xdpLinks.supported) {
      findings.push(check.error(`XDP programs cannot be attached by links: ${xdpLinks.reason}`));
    }
    if (!ringBuffer.supported) {
      findings.push(check.warning(`captures will not work: ${ringBuffer.reason}`));
    }
    return findings.length > 0
      ? findings
      : [check.ok('BTF, XDP programs, XDP links and ring buffers are there')];
  });
}

function jit({ jit }: HostFacts): Finding[] {
  const check = subject('bpf-jit');
  return check.known('net.core.bpf_jit_enable', jit, (value) => [
    value === 0
      ? check.warning(
          'the BPF compiler is off (net.core.bpf_jit_enable = 0): programs are interpreted, which is slow',
          'sysctl -w net.core.bpf_jit_enable=1',
        )
      : check.ok(`programs are compiled (net.core.bpf_jit_enable = ${value})`),
  ]);
}

function jitHarden({ jitHarden }: HostFacts): Finding[] {
  const check = subject('bpf-jit-harden');
  // 1 is about programs of users without privileges; ours are root's.
  return check.known('net.core.bpf_jit_harden', jitHarden, (value) => [
    value >= 2
      ? check.note(
          `constants are blinded in root's programs too (net.core.bpf_jit_harden = ${value}), which costs speed`,
          'sysctl -w net.core.bpf_jit_harden=1',
        )
      : check.ok(`constants of root's programs are not blinded (net.core.bpf_jit_harden = ${value})`),
  ]);
}

function bpfFileSystem({ bpfDirectory, bpfMounted }: HostFacts): Finding[] {
  const check = subject('bpffs');
  return check.known(`what file system ${bpfDirectory} is on`, bpfMounted, (mounted) => [
    mounted
      ? check.ok(`${bpfDirectory} is on a BPF file system`)
      : check.error(
          `${bpfDirectory} is not on a BPF file system, so nothing can be pinned there`,
          mounting(bpfDirectory),
        ),
  ]);
}

const USUAL_MOUNT = '/sys/fs/bpf';

function mounting(directory: string): string {
  if (`${directory}/`.startsWith(`${USUAL_MOUNT}/`)) return `mount -t bpf bpf ${USUAL_MOUNT}`;
  return `mkdir -p ${directory} && mount -t bpf bpf ${directory}`;
}

function ethtool(host: HostFacts): Finding[] {
  const check = subject('ethtool');
  return [
    host.ethtool
      ? check.ok('ethtool is installed')
      : check.note(
          'ethtool is not installed, so offloads, queues and rings were not checked',
          'apt-get install ethtool',
        ),
  ];
}
