// Owns XDP attachment: links, their atomic update, and the question what an interface has attached.
import { checkBoolean, checkInteger, checkOneOf, checkOptions, checkString, describe } from './check.ts';
import { BpfError, during, must } from './errors.ts';
import { Handle, openPin } from './handle.ts';
import { type NativeLink, native } from './native.ts';
import { Program } from './program.ts';

export type XdpMode = 'native' | 'generic' | 'offload' | 'auto';

export interface XdpAttachOptions {
  /** Name or index, in the namespace given. */
  interface: string | number;
  /** 'native' insists on the driver, 'generic' on the stack; 'auto' (the default) takes what there is. */
  mode?: XdpMode;
  /** Path of a network namespace, such as /var/run/netns/blue. The caller's thread is back in its own on return. */
  netns?: string;
  /** Remove a program attached over netlink first (a short gap). A program held by a link is never removed. */
  replaceExisting?: boolean;
}

export interface LinkInfo {
  readonly id: number;
  readonly programId: number;
  /** 0 once detached, or once the interface is gone. */
  readonly ifindex: number;
}

export interface XdpAttachment {
  readonly mode: 'native' | 'generic' | 'offload' | 'multiple';
  /** Programs by the mode they are attached in. */
  readonly programIds: { readonly native?: number; readonly generic?: number; readonly offload?: number };
}

// XDP_FLAGS_*_MODE of linux/if_link.h.
const MODE_FLAGS: Readonly<Record<XdpMode, number>> = { auto: 0, generic: 2, native: 4, offload: 8 };
const MODES = ['native', 'generic', 'offload', 'auto'] as const;
const ATTACHED = ['none', 'native', 'generic', 'offload', 'multiple'] as const;
const LINK_TYPE_XDP = 6;
const EBUSY = 16;

export class XdpLink extends Handle<NativeLink> {
  /** @internal */
  constructor(resource: NativeLink, subject: string) {
    super(resource, native.Link, subject);
  }

  /** Opens a link that was pinned to a BPF file system. */
  static openPinned(path: string): XdpLink {
    const resource = new native.Link(openPin(checkString(path, 'path'), 'link'));
    if (during('open pinned', path, () => resource.info()).type !== LINK_TYPE_XDP) {
      resource.close();
      throw new BpfError('open pinned', path, 22, { reason: 'the pin holds a link that is not of XDP' });
    }
    return new XdpLink(resource, `XDP link ${path}`);
  }

  get fd(): number {
    return this.native.fd();
  }

  info(): LinkInfo {
    const { id, programId, ifindex } = during('read the information of', this.subject, () =>
      this.native.info(),
    );
    return { id, programId, ifindex };
  }

  /**
   * Replaces the program without a packet seeing none. With `expected`, only if that program is the one attached:
   * otherwise a BpfError with code EPERM.
   */
  update(program: Program, options: { expected?: Program } = {}): void {
    const { expected } = checkOptions(options, 'options');
    const status = this.native.update(
      checkProgram(program, 'program').fd,
      expected === undefined ? undefined : checkProgram(expected, 'expected').fd,
    );
    must(status, 'update', this.subject, expected && `${expected.name} was expected to be attached`);
  }

  /** Pins to a path on a BPF file system; the attachment then outlives this process. */
  pin(path: string): void {
    must(this.native.pin(checkString(path, 'path')), `pin to ${path}`, this.subject);
  }

  /** Detaches now, even if the link is pinned or held elsewhere. */
  detach(): void {
    must(this.native.detach(), 'detach', this.subject);
  }
}

function checkProgram(value: unknown, name: string): Program {
  if (value instanceof Program) return value;
  throw new TypeError(`${name} must be a Program, got ${describe(value)}`);
}

function checkInterface(value: unknown): string | number {
  if (typeof value === 'number') return checkInteger(value, 'interface', 1, 0x7fff_ffff);
  if (typeof value === 'string') return checkString(value, 'interface');
  throw new TypeError(`interface must be a name or an index, got ${describe(value)}`);
}

/** @internal Program.attachXdp is the way in. */
export function attachXdp(programFd: number, subject: string, options: XdpAttachOptions): XdpLink {
  if (options === undefined)
    throw new TypeError('options must be an object with an interface, got undefined');
  const given = checkOptions(options, 'options');
  const target = checkInterface(given.interface);
  const mode = checkOneOf(given.mode ?? 'auto', 'mode', MODES);
  const netns = given.netns === undefined ? '' : checkString(given.netns, 'netns');
  const replace = checkBoolean(given.replaceExisting ?? false, 'replaceExisting');
  const place = `${target}${netns === '' ? '' : ` in ${netns}`}`;
  try {
    const fd = during(
      'attach XDP',
      subject,
      () => native.attachXdp(programFd, target, MODE_FLAGS[mode], netns, replace),
      `on ${place}`,
    );
    return new XdpLink(new native.Link(fd), `XDP link on ${place}`);
  } catch (error) {
    if (!(error instanceof BpfError) || error.errno !== EBUSY) throw error;
    const reason = replace
      ? 'a link holds the interface: update that link, or close it'
      : 'the interface has an XDP program: give replaceExisting, or update its link';
    throw new BpfError(error.operation, subject, EBUSY, { reason, cause: error });
  }
}

/** What an interface has attached; `undefined` if nothing. */
export function queryXdp(
  target: string | number,
  options: { netns?: string } = {},
): XdpAttachment | undefined {
  const { netns } = checkOptions(options, 'options');
  const place = checkInterface(target);
  const namespace = netns === undefined ? '' : checkString(netns, 'netns');
  const found = during('query XDP of', `interface ${place}`, () => native.queryXdp(place, namespace));
  const mode = ATTACHED[found.mode];
  if (mode === undefined || mode === 'none') return undefined;
  return {
    mode,
    programIds: {
      ...(found.nativeId !== 0 && { native: found.nativeId }),
      ...(found.genericId !== 0 && { generic: found.genericId }),
      ...(found.offloadId !== 0 && { offload: found.offloadId }),
    },
  };
}
