// Owns the checks of what hardware and driver do to packets before a program sees them, and of queues and rings.
import type { Facts, InterfaceFacts, LinkFacts, Offload, Queues, Rings } from './facts.ts';
import { counted, type Finding, listed, type Subject, subject } from './finding.ts';
import { isNative } from './interface.ts';

/** A ring of this many frames holds what arrives within some hundred microseconds at ten gigabits a second. */
const RX_RING_ENOUGH = 1_024;

type Offloads = ReadonlyMap<string, Offload>;

export function offloadFindings(it: InterfaceFacts, { host }: Facts): Finding[] {
  if (!host.ethtool || !it.link.known || it.link.value === undefined) return [];
  const link = it.link.value;
  return [
    ...subject('offloads', it.name).known('offloads', it.offloads, (offloads) => [
      ...largeReceive(it.name, offloads),
      ...hardwareGro(it, link, offloads),
      ...vlanTags(it.name, link, offloads),
      ...checksums(it.name, link),
    ]),
    ...queues(it, link, host.cpuCount),
    ...rings(it),
  ];
}

function largeReceive(name: string, offloads: Offloads): Finding[] {
  const check = subject('lro', name);
  const { on = false, fixed = false } = offloads.get('large-receive-offload') ?? {};
  if (!on) return [check.ok('large receive offload is off')];
  const message =
    'large receive offload joins packets before XDP sees them: what comes out is too big to forward';
  return [check.error(message, fixed ? undefined : `ethtool -K ${name} lro off`)];
}

function hardwareGro(it: InterfaceFacts, { driver }: LinkFacts, offloads: Offloads): Finding[] {
  const check = subject('gro-hw', it.name);
  const { on = false, fixed = false } = offloads.get('rx-gro-hw') ?? {};
  if (!on) return [check.ok('hardware GRO is off')];
  if (isNative(it)) return [check.ok('hardware GRO is on, but the driver has accepted the program natively')];
  if (!fixed) {
    return [
      check.warning(
        'hardware GRO joins packets before XDP sees them; some drivers refuse the native mode because of it',
        `ethtool -K ${it.name} rx-gro-hw off`,
      ),
    ];
  }
  const hypervisor =
    driver === 'virtio_net'
      ? ': the hypervisor must let the guest switch it off (VIRTIO_NET_F_CTRL_GUEST_OFFLOADS), or off itself'
      : '';
  return [
    check.warning(
      `hardware GRO is on and cannot be switched off here; the native mode may be refused${hypervisor}`,
    ),
  ];
}

function vlanTags(name: string, { vlans }: LinkFacts, offloads: Offloads): Finding[] {
  const check = subject('vlan-offload', name);
  const { on = false, fixed = false } = offloads.get('rx-vlan-offload') ?? {};
  if (!on) return [check.ok('VLAN tags arrive with the frames')];
  const cure = fixed ? undefined : `ethtool -K ${name} rx-vlan-offload off`;
  if (vlans.length === 0) {
    return [
      check.note('VLAN tags are taken off before XDP sees them, which matters where there are any', cure),
    ];
  }
  return [
    check.warning(
      `VLAN tags are taken off before XDP sees them, and ${name} has VLANs (${listed(vlans)}): frames leave ` +
        'without the tag that they came with',
      cure,
    ),
  ];
}

function checksums(name: string, { kind, lower }: LinkFacts): Finding[] {
  if (kind !== 'veth') return [];
  return [
    subject('checksums', name).note(
      'over a veth, packets of local senders arrive with checksums unfinished, and XDP forwards them so; the ' +
        "peer's transmit checksums must be off",
      `ethtool -K ${lower ?? 'PEER'} tx off`,
    ),
  ];
}

function queues({ name, queues: fact }: InterfaceFacts, { driver }: LinkFacts, cpuCount: number): Finding[] {
  const check = subject('queues', name);
  return check.known('the number of queues', fact, (found) => {
    if (found === undefined) return [check.note('the driver does not tell its number of queues')];
    if (driver === 'ena') return amazonQueues(check, name, found, cpuCount);
    return receiveQueues(check, name, found, cpuCount);
  });
}

/** Each receive queue needs a second transmit queue for XDP, so half of the channels is the most. */
function amazonQueues(check: Subject, name: string, found: Queues, cpuCount: number): Finding[] {
  const most = Math.floor(found.combinedMax / 2);
  if (found.combined <= most) return receiveQueues(check, name, { ...found, combinedMax: most }, cpuCount);
  return [
    check.error(
      `${counted(found.combined, 'queue')} of ${found.combinedMax}: ena refuses the native mode above half of them`,
      `ethtool -L ${name} combined ${most}`,
    ),
  ];
}

function receiveQueues(check: Subject, name: string, found: Queues, cpuCount: number): Finding[] {
  const now = found.rx + found.combined;
  const most = found.rxMax + found.combinedMax;
  const message = `${counted(now, 'receive queue')} for ${counted(cpuCount, 'CPU')}`;
  if (now >= cpuCount) return [check.ok(message)];
  if (most <= now)
    return [check.note(`${message}, the most that the driver has: the other CPUs forward nothing`)];
  const wanted = Math.min(cpuCount, most);
  const kind = found.combinedMax > 0 ? `combined ${Math.min(wanted, found.combinedMax)}` : `rx ${wanted}`;
  const say = now === 1 ? check.warning : check.note;
  return [
    say(`${message}, of ${most} possible: the other CPUs forward nothing`, `ethtool -L ${name} ${kind}`),
  ];
}

function rings({ name, rings: fact }: InterfaceFacts): Finding[] {
  const check = subject('rings', name);
  return check.known('ring sizes', fact, (found) => {
    if (found === undefined) return [check.note('the driver does not tell the sizes of its rings')];
    return [ringSizes(check, name, found)];
  });
}

function ringSizes(check: Subject, name: string, { rx, rxMax, tx }: Rings): Finding {
  const message = `the receive rings hold ${counted(rx, 'frame')}, the transmit rings ${tx}`;
  if (rx >= RX_RING_ENOUGH) return check.ok(message);
  if (rx >= rxMax) return check.ok(`${message}, the most that the driver has`);
  const wanted = Math.min(rxMax, RX_RING_ENOUGH);
  return check.note(
    `${message}; bursts may be lost (up to ${rxMax} are possible)`,
    `ethtool -G ${name} rx ${wanted}`,
  );
}
