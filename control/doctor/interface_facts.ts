// Owns reading what there is to know of one interface.
import { existsSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { type Link, LinkFlag, type Rtnetlink, XdpFeature, xdpFeatures } from '@holdfast/linux';
import { Program } from 'libbpf-ts';
import { PinDirectory } from '../dataplane/pins.ts';
import { run } from './command.ts';
import { parseOffloads, parseQueues, parseRings } from './core/ethtool.ts';
import {
  type AttachedProgram,
  type Fact,
  type InterfaceAddress,
  type InterfaceFacts,
  type LinkFacts,
  SETTINGS,
  type SettingName,
  type XdpSupport,
} from './core/facts.ts';
import { attempt, derived } from './fact.ts';
import { readSetting } from './setting.ts';

export type Place = {
  readonly rtnetlink: Rtnetlink;
  readonly links: Fact<readonly Link[]>;
  readonly ethtool: boolean;
  /** Where this node pins links; they need not be there. */
  readonly pinDirectories: readonly string[];
};

const HARDWARE_ETHERNET = 1;
const UNSUPPORTED = /not supported/i;

export async function interfaceFacts(name: string, place: Place): Promise<InterfaceFacts> {
  const link = derived(place.links, (links) => links.find((it) => it.name === name));
  const there: Fact<Link> =
    link.known && link.value !== undefined
      ? { known: true, value: link.value }
      : { known: false, reason: link.known ? 'there is no such interface' : link.reason };
  // `lo; …` never reaches a shell, but what names no interface need not reach ethtool either.
  const ask = async <T>(option: string, parse: (text: string) => T): Promise<Fact<T | undefined>> =>
    there.known && place.ethtool ? askEthtool(option, name, parse) : NOT_ASKED;
  const [offloads, queues, rings] = await Promise.all([
    ask('-k', parseOffloads),
    ask('-l', parseQueues),
    ask('-g', parseRings),
  ]);
  return {
    name,
    link: derived(link, (found) => found && describeLink(found, place.links.known ? place.links.value : [])),
    xdp: derived(there, ({ ifindex }) => xdpSupport(ifindex)),
    programs: derived(there, (found) => programsOn(found, place.pinDirectories)),
    offloads: derived(offloads, (found) => found ?? new Map()),
    queues,
    rings,
    addresses: derived(there, ({ ifindex }) => addressesOf(place.rtnetlink, ifindex)),
    settings: settingsOf(name),
  };
}

const NOT_ASKED = { known: false, reason: 'ethtool was not asked' } as const;

async function askEthtool<T>(
  option: string,
  name: string,
  parse: (text: string) => T,
): Promise<Fact<T | undefined>> {
  const outcome = await run('ethtool', [option, name]);
  switch (outcome.kind) {
    case 'said':
      return { known: true, value: parse(outcome.text) };
    case 'missing':
      return NOT_ASKED;
    case 'silent':
      return { known: false, reason: `ethtool ${option} ${name} did not end within ${outcome.limitMs} ms` };
    case 'failed':
      if (UNSUPPORTED.test(outcome.text)) return { known: true, value: undefined };
      return { known: false, reason: `ethtool ${option} ${name}: ${outcome.text.split('\n')[0]}` };
  }
}

function describeLink(link: Link, links: readonly Link[]): LinkFacts {
  const { ifindex, flags, kind, masterIfindex, peerIfindex, peerNetnsId } = link;
  const byIndex = (index: number | undefined) => links.find((it) => it.ifindex === index);
  const master = byIndex(masterIfindex);
  return {
    ethernet: link.hardwareType === HARDWARE_ETHERNET,
    loopback: (flags & LinkFlag.LOOPBACK) !== 0,
    up: link.up,
    carrier: (flags & LinkFlag.LOWER_UP) !== 0,
    mtuBytes: link.mtuBytes ?? 0,
    kind,
    driver: driverOf(link.name) ?? kind,
    master: master && { name: master.name, kind: master.kind },
    lower: peerNetnsId === undefined && peerIfindex !== ifindex ? byIndex(peerIfindex)?.name : undefined,
    members: links.filter((it) => it.masterIfindex === ifindex).map(({ name }) => name),
    vlans: links
      .filter((it) => it.kind === 'vlan' && it.peerIfindex === ifindex && it.peerNetnsId === undefined)
      .map(({ name }) => name),
  };
}

/** Of hardware, virtual machines' included; what the kernel makes up has none. */
function driverOf(name: string): string | undefined {
  const link = `/sys/class/net/${name}/device/driver`;
  const driver = attempt(() => basename(readlinkSync(link)));
  return driver.known ? driver.value : undefined;
}

/** Undefined on kernels before 6.3, which do not tell. */
export function xdpSupport(ifindex: number): XdpSupport | undefined {
  const bits = xdpFeatures(ifindex);
  if (bits === undefined) return undefined;
  const has = (feature: number) => (bits & feature) !== 0;
  return {
    native: has(XdpFeature.BASIC),
    redirect: has(XdpFeature.REDIRECT),
    takesRedirected: has(XdpFeature.NDO_XMIT),
  };
}

function programsOn({ ifindex, xdp }: Link, pinDirectories: readonly string[]): AttachedProgram[] {
  const found = [
    ['native', xdp.driverProgramId],
    ['generic', xdp.genericProgramId],
    ['offloaded', xdp.hardwareProgramId],
  ] as const;
  const own = pinnedPrograms(ifindex, pinDirectories);
  return found.flatMap(([mode, programId]) =>
    programId === undefined || programId === 0
      ? []
      : [{ mode, programId, name: nameOf(programId), own: own.has(programId) }],
  );
}

function pinnedPrograms(ifindex: number, directories: readonly string[]): ReadonlySet<number> {
  const programs = new Set<number>();
  for (const directory of directories.filter((path) => existsSync(path))) {
    for (const pinned of new PinDirectory(directory).links()) {
      using link = pinned.link;
      if (pinned.ifindex === ifindex) programs.add(link.info().programId);
    }
  }
  return programs;
}

function nameOf(programId: number): string | undefined {
  const name = attempt(() => {
    using program = Program.openById(programId);
    return program.info().name;
  });
  return name.known ? name.value : undefined;
}

function addressesOf(rtnetlink: Rtnetlink, ifindex: number): InterfaceAddress[] {
  const addresses = rtnetlink.addresses({ ifindex });
  return addresses.map(({ address, prefixLength, family }) => ({ address, prefixLength, version: family }));
}

function settingsOf(name: string): Record<SettingName, Fact<number>> {
  const read = Object.entries(SETTINGS).map(
    ([key, path]) => [key, readSetting(`net/${path.replace('*', name)}`)] as const,
  );
  return Object.fromEntries(read) as Record<SettingName, Fact<number>>;
}
