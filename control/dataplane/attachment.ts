// Owns the interfaces that a program is attached to: attaching, detaching, and replacing the program without losing a
// packet. A link survives this process where it is pinned.
import { Rtnetlink } from '@holdfast/linux';
import { BpfError, Program, queryXdp, type XdpLink } from 'libbpf-ts';
import { Failure } from '../lib/failure.ts';
import type { PinDirectory } from './pins.ts';

export type AttachOptions = {
  /** Name or index. */
  interface: string | number;
  /** native insists on the driver; auto, the default, takes generic where the driver cannot. */
  mode?: 'native' | 'generic' | 'auto';
  /** Path of the network namespace that has the interface; absent: this process's. */
  netns?: string;
};

export type AttachedInterface = {
  interface: string;
  ifindex: number;
  mode: 'native' | 'generic' | 'offloaded';
  programId: number;
  programTag: string;
  pinned: boolean;
};

type Attached = { name: string; ifindex: number; netns: string | undefined; link: XdpLink };

/** A link whose interface is gone. */
const NO_INTERFACE = 0;

export class Attachments {
  #pins: PinDirectory | undefined;
  readonly #attached: Attached[] = [];

  constructor(pins?: PinDirectory) {
    this.#pins = pins;
  }

  /** Takes pinned links over, and puts `program` in the place of theirs. */
  adopt(program: Program, netns: string | undefined): void {
    for (const { ifindex, link } of this.#pins?.links() ?? [])
      this.#attached.push({ name: nameOf(ifindex, netns) ?? `${ifindex}`, ifindex, netns, link });
    this.replace(program);
  }

  /**
   * Attaches, and pins where there is a pin directory. An interface that is attached stays so in the mode it has.
   * @throws Failure with what to do about it.
   */
  attach(program: Program, options: AttachOptions): AttachedInterface {
    this.#dropGone();
    const { netns } = options;
    const found = withLinks(netns, (links) => links.link(options.interface));
    if (found === undefined) {
      throw new Failure('not_found', `there is no interface ${options.interface}`, {
        remedy: `choose one of: ${withLinks(netns, (links) => links.links().map(({ name }) => name)).join(', ')}`,
      });
    }
    const { name, ifindex } = found;
    const known = this.#attached.find((it) => it.ifindex === ifindex && it.netns === netns);
    if (known !== undefined) {
      known.link.update(program);
      return this.#describe(known);
    }
    const link = attachIn(program, { ...options, interface: ifindex }, name);
    try {
      this.#pins?.pinLink({ ifindex, link });
    } catch (error) {
      link.close();
      throw error;
    }
    const attached = { name, ifindex, netns, link };
    this.#attached.push(attached);
    return this.#describe(attached);
  }

  /** Takes the program off an interface, or off all. False where it was on none of them. */
  detach(name?: string): boolean {
    this.#dropGone();
    // By the name it has now: links are renamed.
    const going = this.#attached.filter(
      (it) => name === undefined || (nameOf(it.ifindex, it.netns) ?? it.name) === name,
    );
    for (const it of going) {
      it.link.detach();
      this.#pins?.unpinLink(it.ifindex);
      it.link.close();
      this.#attached.splice(this.#attached.indexOf(it), 1);
    }
    return going.length > 0;
  }

  /** Puts `program` in the place of the one that is attached, atomically on each interface. */
  replace(program: Program): void {
    this.#dropGone();
    for (const { link } of this.#attached) link.update(program);
  }

  /** Whether there are any, which costs less than to describe them. */
  get isEmpty(): boolean {
    this.#dropGone();
    return this.#attached.length === 0;
  }

  list(): AttachedInterface[] {
    this.#dropGone();
    return this.#attached.map((it) => this.#describe(it));
  }

  /** Pins what is attached, and what will be. */
  pin(pins: PinDirectory): void {
    this.#dropGone();
    this.#pins = pins;
    for (const { ifindex, link } of this.#attached) pins.pinLink({ ifindex, link });
  }

  /** Lets go. What is not pinned is detached by that. */
  close(): void {
    for (const { link } of this.#attached) link.close();
    this.#attached.length = 0;
  }

  #dropGone(): void {
    for (const it of [...this.#attached]) {
      if (it.link.info().ifindex !== NO_INTERFACE) continue;
      this.#pins?.unpinLink(it.ifindex);
      it.link.close();
      this.#attached.splice(this.#attached.indexOf(it), 1);
    }
  }

  #describe({ name, ifindex, netns, link }: Attached): AttachedInterface {
    const { programId } = link.info();
    const modes = queryXdp(ifindex, inNetns(netns))?.programIds;
    const mode =
      modes?.native === programId ? 'native' : modes?.offload === programId ? 'offloaded' : 'generic';
    return {
      interface: nameOf(ifindex, netns) ?? name,
      ifindex,
      mode,
      programId,
      programTag: tagOf(programId),
      pinned: this.#pins !== undefined,
    };
  }
}

/** @throws Failure; `name` is what the user calls the interface. */
function attachIn(program: Program, options: AttachOptions, name: string): XdpLink {
  const { mode = 'auto', netns } = options;
  const attach = (as: 'native' | 'generic'): XdpLink =>
    program.attachXdp({ interface: options.interface, mode: as, ...inNetns(netns) });
  try {
    return attach(mode === 'generic' ? 'generic' : 'native');
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    if (mode !== 'auto' || !NOT_BY_DRIVER.has(error.code)) throw refusal(error, options, name);
  }
  try {
    return attach('generic');
  } catch (error) {
    throw error instanceof BpfError ? refusal(error, options, name) : error;
  }
}

/** What drivers say that cannot, or cannot with this MTU, these queues or these offloads. */
const NOT_BY_DRIVER: ReadonlySet<string> = new Set([
  'EOPNOTSUPP',
  'ENOTSUPP',
  'EINVAL',
  'ERANGE',
  'E2BIG',
  'ENOSPC',
  'ENOMEM',
]);

function refusal(cause: BpfError, options: AttachOptions, name: string): Failure {
  const what = `the program cannot be attached to ${name}`;
  if (cause.code === 'EBUSY' || cause.code === 'EEXIST') {
    const ids = Object.values(queryXdp(options.interface, inNetns(options.netns))?.programIds ?? {});
    return new Failure('conflict', what, {
      cause,
      reason: `it has another XDP program: id ${ids.join(', ')}`,
      remedy: `see \`bpftool prog show id ${ids[0] ?? ''}\` whose it is, and end that, or \`ip link set dev ${name} xdp off\``,
    });
  }
  if (cause.code === 'EPERM' || cause.code === 'EACCES') {
    return new Failure('forbidden', what, {
      cause,
      remedy: 'run as root, or with CAP_BPF and CAP_NET_ADMIN',
    });
  }
  if (NOT_BY_DRIVER.has(cause.code)) {
    return new Failure('unsupported', what, {
      cause,
      remedy: `\`holdfast doctor ${name}\` tells why; \`xdpMode: generic\` works with every driver, but is slow`,
    });
  }
  return new Failure('unavailable', what, { cause, remedy: `is ${name} there and up?` });
}

const inNetns = (netns: string | undefined): { netns?: string } => (netns === undefined ? {} : { netns });

function withLinks<T>(netns: string | undefined, ask: (links: Rtnetlink) => T): T {
  using rtnetlink = new Rtnetlink(inNetns(netns));
  return ask(rtnetlink);
}

function nameOf(ifindex: number, netns: string | undefined): string | undefined {
  return withLinks(netns, (links) => links.link(ifindex)?.name);
}

function tagOf(programId: number): string {
  using program = Program.openById(programId);
  return program.info().tag;
}
