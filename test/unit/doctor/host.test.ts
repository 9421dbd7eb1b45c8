import { describe, expect, it } from 'vitest';
import type { Facts } from '../../../control/doctor/core/facts.ts';
import { found, known, muxFacts } from './lib/facts.ts';

const yes = { supported: true } as const;
const no = (reason: string) => ({ supported: false, reason }) as const;

type Row = [name: string, check: string, host: Partial<Facts['host']>, expected: ReturnType<typeof found>];

const ROWS: Row[] = [
  [
    'the oldest kernel',
    'kernel',
    { kernelRelease: '5.18.0' },
    [{ severity: 'ok', message: 'Linux 5.18.0 is 5.18 or newer' }],
  ],
  [
    'a kernel that is too old',
    'kernel',
    { kernelRelease: '5.10.0-28-amd64' },
    [
      {
        severity: 'error',
        message: 'Linux 5.10.0-28-amd64 is older than 5.18, which Holdfast needs',
        cure: 'apt-get update && apt-get install linux-image-$(dpkg --print-architecture) && reboot',
      },
    ],
  ],
  [
    'a version that is no number',
    'kernel',
    { kernelRelease: 'next' },
    [{ severity: 'note', message: 'the version of the kernel cannot be read from next' }],
  ],
  [
    'a kernel without BTF and links',
    'bpf',
    {
      features: known({
        btf: no('The kernel was built without CONFIG_DEBUG_INFO_BTF.'),
        xdp: yes,
        xdpLinks: no('The kernel does not know links of XDP programs.'),
        ringBuffer: no('The kernel refuses maps of type ringbuf.'),
      }),
    },
    [
      {
        severity: 'error',
        message:
          'the kernel does not describe its types (BTF): The kernel was built without CONFIG_DEBUG_INFO_BTF.',
      },
      {
        severity: 'error',
        message: 'XDP programs cannot be attached by links: The kernel does not know links of XDP programs.',
      },
      {
        severity: 'warning',
        message: 'captures will not work: The kernel refuses maps of type ringbuf.',
      },
    ],
  ],
  [
    'the compiler switched off',
    'bpf-jit',
    { jit: known(0) },
    [
      {
        severity: 'warning',
        message:
          'the BPF compiler is off (net.core.bpf_jit_enable = 0): programs are interpreted, which is slow',
        cure: 'sysctl -w net.core.bpf_jit_enable=1',
      },
    ],
  ],
  [
    'blinding for users without privileges',
    'bpf-jit-harden',
    { jitHarden: known(1) },
    [
      {
        severity: 'ok',
        message: "constants of root's programs are not blinded (net.core.bpf_jit_harden = 1)",
      },
    ],
  ],
  [
    'blinding for all',
    'bpf-jit-harden',
    { jitHarden: known(2) },
    [
      {
        severity: 'note',
        message:
          "constants are blinded in root's programs too (net.core.bpf_jit_harden = 2), which costs speed",
        cure: 'sysctl -w net.core.bpf_jit_harden=1',
      },
    ],
  ],
  [
    'no BPF file system',
    'bpffs',
    { bpfMounted: known(false) },
    [
      {
        severity: 'error',
        message: '/sys/fs/bpf/holdfast is not on a BPF file system, so nothing can be pinned there',
        cure: 'mount -t bpf bpf /sys/fs/bpf',
      },
    ],
  ],
  [
    'no BPF file system where the configuration wants one',
    'bpffs',
    { bpfMounted: known(false), bpfDirectory: '/run/holdfast/bpf' },
    [
      {
        severity: 'error',
        message: '/run/holdfast/bpf is not on a BPF file system, so nothing can be pinned there',
        cure: 'mkdir -p /run/holdfast/bpf && mount -t bpf bpf /run/holdfast/bpf',
      },
    ],
  ],
  [
    'no ethtool',
    'ethtool',
    { ethtool: false },
    [
      {
        severity: 'note',
        message: 'ethtool is not installed, so offloads, queues and rings were not checked',
        cure: 'apt-get install ethtool',
      },
    ],
  ],
];

describe('the host', () => {
  it.each(ROWS)('%s', (_, check, host, expected) => {
    expect(found(muxFacts({ host }), check)).toEqual(expected);
  });

  it('is not asked about offloads, queues and rings without ethtool', () => {
    const facts = muxFacts({ host: { ethtool: false } });
    for (const check of ['lro', 'gro-hw', 'vlan-offload', 'queues', 'rings']) {
      expect(found(facts, check)).toEqual([]);
    }
  });
});
