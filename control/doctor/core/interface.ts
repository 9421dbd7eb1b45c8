// Owns the checks of an interface as XDP finds it: is it there, what does it stand on, does its driver run programs,
// what is attached, does its MTU fit. Offloads, queues and rings are offload.ts, addresses and settings setting.ts.
import type { AttachedProgram, Facts, InterfaceFacts, LinkFacts } from './facts.ts';
import { type Finding, listed, subject } from './finding.ts';

/** What fits a page of 4 KiB beside the headroom and the kernel's own end of a buffer. */
export const SINGLE_BUFFER_MTU_BYTES = 3_498;

/** Interfaces that only pass frames between others. */
const STACKED: ReadonlySet<string> = new Set(['bridge', 'team', 'vlan', 'macvlan', 'ipvlan', 'macsec']);

/** For kernels before 6.3, which do not tell: drivers whose code there implements native XDP. */
const NATIVE_DRIVERS: ReadonlySet<string> = new Set([
  'bnxt_en',
  'bond',
  'dpaa2-eth',
  'ena',
  'fsl_enetc',
  'hv_netvsc',
  'i40e',
  'ice',
  'igb',
  'igc',
  'ixgbe',
  'ixgbevf',
  'mana',
  'mlx4_core',
  'mlx5_core',
  'mvneta',
  'mvpp2',
  'nfp',
  'nicvf',
  'qede',
  'rvu_nicpf',
  'rvu_nicvf',
  'sfc',
  'tun',
  'veth',
  'vif',
  'virtio_net',
]);

/** Whether there is an interface that programs could work on. */
export function isCandidate({ link }: InterfaceFacts): boolean {
  return link.known && link.value?.ethernet === true && !link.value.loopback;
}

export function presenceFindings(it: InterfaceFacts, { host }: Facts): Finding[] {
  const { name } = it;
  const check = subject('interface', name);
  return check.known('the interface', it.link, (link) => {
    if (link === undefined) {
      const others = host.interfaceNames.known ? `; there are ${host.interfaceNames.value.join(', ')}` : '';
      return [check.error(`there is no interface ${name}${others}`)];
    }
    if (link.loopback)
      return [check.error(`${name} is the loopback interface, which no client's packet enters`)];
    if (!link.ethernet)
      return [check.error(`${name} does not carry Ethernet frames, which the programs read`)];
    if (!link.up) return [check.error(`${name} is down`, `ip link set dev ${name} up`)];
    if (!link.carrier) return [noCarrier(name, link)];
    return [check.ok(`${name} is up and has a carrier`)];
  });
}

function noCarrier(name: string, { kind, lower }: LinkFacts): Finding {
  const check = subject('interface', name);
  if (lower !== undefined) {
    return check.error(`${name} is up but has no carrier: is ${lower} down?`, `ip link set dev ${lower} up`);
  }
  return check.error(
    `${name} is up but has no carrier: ${kind === 'veth' ? 'its peer is down' : 'cable, switch port or peer'}`,
  );
}

export function attachmentFindings(it: InterfaceFacts, facts: Facts): Finding[] {
  if (!it.link.known || it.link.value === undefined) return [];
  const link = it.link.value;
  return [
    ...stacking(it.name, link),
    ...driver(it, link, facts),
    ...attached(it, link, facts),
    ...mtu(it, link, facts),
  ];
}

function stacking(name: string, { kind, master, lower, members }: LinkFacts): Finding[] {
  const check = subject('stacking', name);
  if (kind === 'bond') {
    return [
      check.note(
        `${name} is a bond: the program runs natively if it does on every member (${listed(members)}) ` +
          'and the mode allows it: not broadcast, balance-tlb or balance-alb, nor a hash by VLAN and source MAC address',
      ),
    ];
  }
  if (kind !== undefined && STACKED.has(kind)) {
    const below = lower === undefined ? members : [lower];
    const where = below.length === 0 ? 'the interface below' : listed(below);
    return [
      check.warning(
        `${name} is a ${kind}: programs run on it in generic mode only, so attach to ${where} instead`,
        below.length === 0 ? undefined : below.map((it) => `holdfast attach ${it}`).join(' && '),
      ),
    ];
  }
  if (master === undefined) return [check.ok(`${name} belongs to no bond, bridge or team`)];
  if (master.kind === 'bond') {
    return [
      check.warning(
        `${name} is a member of the bond ${master.name}: packets of the other members are not seen`,
        `holdfast attach ${master.name}`,
      ),
    ];
  }
  return [
    check.warning(
      `${name} is a port of ${master.name} (${master.kind ?? 'unknown'}): addresses and routes are those of ` +
        `${master.name}, to which frames cannot be redirected`,
      `ip link set dev ${name} nomaster`,
    ),
  ];
}

function driver(it: InterfaceFacts, link: LinkFacts, { xdpMode, roles }: Facts): Finding[] {
  const { name, xdp } = it;
  const check = subject('xdp-driver', name);
  const driverName = link.driver ?? link.kind ?? 'of this interface';
  return check.known('what the driver has of XDP', xdp, (support) => {
    const native = support?.native ?? NATIVE_DRIVERS.has(driverName);
    const known = support === undefined ? 'is known to run' : 'runs';
    if (native && support?.redirect === false && roles.includes('mux')) {
      return [
        check.warning(
          `the driver ${driverName} ${known} XDP programs natively, but does not redirect: backends must be ` +
            `reached over ${name} itself`,
        ),
      ];
    }
    if (native) return [check.ok(`the driver ${driverName} ${known} XDP programs natively`)];
    const message =
      support === undefined
        ? `the driver ${driverName} is not among those known to run XDP programs natively`
        : `the driver ${driverName} does not run XDP programs natively`;
    if (xdpMode === 'native') {
      return [check.error(`${message}, and xdpMode is native`, `holdfast attach ${name} --mode generic`)];
    }
    return [
      xdpMode === 'generic'
        ? check.note(`${message}; xdpMode is generic anyway`)
        : check.warning(`${message}: only the generic mode is left, which is slow`),
    ];
  });
}

function attached(it: InterfaceFacts, link: LinkFacts, facts: Facts): Finding[] {
  const check = subject('xdp-attached', it.name);
  return check.known('what is attached', it.programs, (programs) => {
    const foreign = programs.filter(({ own }) => !own);
    if (foreign.length > 0) return foreign.map((program) => inTheWay(it.name, program));
    const [program] = programs;
    if (program === undefined) {
      return [check.note(`no XDP program is attached to ${it.name}`, `holdfast attach ${it.name}`)];
    }
    const what = `Holdfast's program (id ${program.programId})`;
    if (program.mode !== 'generic') return [check.ok(`${what} is attached in ${program.mode} mode`)];
    if (facts.xdpMode === 'generic') {
      return [check.note(`${what} is attached in generic mode, as xdpMode says, and is slow`)];
    }
    const support = it.xdp.known ? it.xdp.value : undefined;
    if (!(support?.native ?? NATIVE_DRIVERS.has(link.driver ?? link.kind ?? ''))) {
      return [check.warning(`${what} is attached in generic mode, the only one that the driver allows`)];
    }
    return [
      check.warning(
        `${what} is attached in generic mode, which is slow, although the driver has the native one`,
        `holdfast detach ${it.name} --yes && holdfast attach ${it.name} --mode native`,
      ),
    ];
  });
}

const XDP_OFF = { native: 'xdpdrv', generic: 'xdpgeneric', offloaded: 'xdpoffload' } as const;

function inTheWay(name: string, { mode, programId, name: programName }: AttachedProgram): Finding {
  const called = programName === undefined || programName === '' ? '' : ` ${programName}`;
  return subject('xdp-attached', name).error(
    `another XDP program${called} (id ${programId}) is attached in ${mode} mode and in the way; where it comes ` +
      `back or cannot be taken off, \`bpftool link\` and \`bpftool prog show id ${programId}\` say whose it is`,
    `ip link set dev ${name} ${XDP_OFF[mode]} off`,
  );
}

function mtu(it: InterfaceFacts, { mtuBytes }: LinkFacts, { xdpMode }: Facts): Finding[] {
  const check = subject('mtu', it.name);
  if (mtuBytes <= SINGLE_BUFFER_MTU_BYTES) {
    return [check.ok(`frames of ${mtuBytes} bytes fit one buffer (up to ${SINGLE_BUFFER_MTU_BYTES})`)];
  }
  const message = `the MTU of ${mtuBytes} is more than one XDP buffer holds (${SINGLE_BUFFER_MTU_BYTES} bytes with pages of 4 KiB)`;
  const cure = `ip link set dev ${it.name} mtu ${SINGLE_BUFFER_MTU_BYTES}`;
  if (isNative(it)) return [check.ok(`${message}, but the driver has accepted the program natively`)];
  if (xdpMode === 'generic') return [check.note(`${message}; only the native mode minds`)];
  return [check.error(`${message}: drivers refuse the native mode`, cure)];
}

/** Whether the driver runs our program already. */
export function isNative({ programs }: InterfaceFacts): boolean {
  return programs.known && programs.value.some(({ mode, own }) => own && mode !== 'generic');
}
