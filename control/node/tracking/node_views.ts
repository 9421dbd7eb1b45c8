// Owns what is said of each node: whether it takes part, how far it is, who hears it. Pure.
import type { Keys, NodeState, NodeView } from '../../api/schema.ts';
import { handingOver, owingAhead } from '../../cluster/leaving.ts';
import { type AskKeyRing, lacking } from '../../cluster/member_keys_core.ts';
import type { Member } from '../../cluster/version.ts';
import { MEMBER_ROLES } from '../../config/node.ts';
import { counted, keepingOf, keyHoldersOf, listed, type Picture, span } from './picture.ts';

/** Heartbeats of 50 ms, and three may be lost: beyond, something is wrong with it or with the way. */
const HEARD_LATE_MS = 1_000;

/** All nodes, by name. `goneSince` has when this node saw a mux go, on the clock of `nowMs`. */
export function nodeViews(picture: Picture, goneSince: ReadonlyMap<string, number>): NodeView[] {
  const { intent, head, muxes } = picture;
  const names = new Set([
    ...intent.nodes.keys(),
    ...muxes.registrations.keys(),
    ...muxes.ids.values(),
    ...(head?.members ?? []).map(({ name }) => name),
  ]);
  return [...names].sort().map((name) => nodeView(name, picture, goneSince.get(name)));
}

/** A node that has joined, and of which nothing else is known. */
export function goneView(name: string, roles: readonly string[]): NodeView {
  return {
    ...{ name, roles: [...roles], self: false, state: 'gone', pastDeadline: false, heard: [] },
    problems: [],
  };
}

export function keysOf({ head, muxes, wallMs }: Picture, ring: AskKeyRing): Keys {
  const { keys, use, step, madeAtMs } = ring;
  const newest = keys.at(-1)!;
  return {
    step,
    state: keys.length === 1 ? 'steady' : use === newest.id ? 'signing' : 'learning',
    ...(madeAtMs !== undefined && { ageMs: Math.max(0, wallMs - madeAtMs) }),
    lacking: lacking(ring, keyHoldersOf(head, muxes), muxes.knownKeys).map(({ name }) => name),
  };
}

function nodeView(name: string, picture: Picture, goneSinceMs: number | undefined): NodeView {
  const { self, intent, head, muxes, own } = picture;
  const member = head?.members.find((it) => it.name === name);
  const registration = muxes.registrations.get(name);
  const stored = intent.nodes.get(name);
  const id = member?.id ?? registration?.id ?? idOf(name, picture);
  const isSelf = name === self;
  const state = stateOf(name, picture);
  const hearing = id === undefined || isSelf ? undefined : own?.hearings.get(id);
  const applied = isSelf ? own?.version : muxes.acknowledgements.get(name)?.version;
  const reports = muxes.acknowledgements.get(name)?.reports;
  const keeping = id === undefined || member === undefined ? undefined : keepingOf(head!).get(id);
  const leaseLeftMs = isSelf ? own?.leaseLeftMs : undefined;
  const isPastDeadline = isSelf ? leaseLeftMs === 0 : (hearing?.isPastDeadline ?? false);
  const view: NodeView = {
    name,
    roles: [...(stored?.roles ?? ['mux'])],
    self: isSelf,
    state,
    ...(stored !== undefined && { software: stored.version }),
    ...(id !== undefined && { id }),
    ...withDefined({
      incarnation: registration?.incarnation ?? member?.incarnation,
      address: registration?.address ?? member?.address,
      askPort: registration?.askPort ?? member?.askPort,
      api: registration?.api,
      version: applied,
    }),
    ...(applied !== undefined && member !== undefined && { behind: Math.max(0, head!.number - applied) }),
    ...withDefined({ leaseLeftMs }),
    pastDeadline: isPastDeadline,
    ...(state === 'gone' &&
      goneSinceMs !== undefined && { goneSinceMs: picture.wallMs - (picture.nowMs - goneSinceMs) }),
    heard: member === undefined ? [] : hearersOf(member, picture),
    ...(member !== undefined && { chains: keeping ?? { owned: 0, backed: 0 } }),
    ...(member !== undefined &&
      reports !== undefined && {
        flows: { kept: sum(reports, ({ flows }) => flows), old: sum(reports, ({ oldFlows }) => oldFlows) },
      }),
    problems: [],
  };
  return { ...view, problems: problemsOf(view, member, picture) };
}

function stateOf(name: string, { intent, head, muxes }: Picture): NodeState {
  const member = head?.members.find((it) => it.name === name);
  const registered = muxes.registrations.has(name);
  const isMux = registered || member !== undefined || [...muxes.ids.values()].includes(name);
  if (!isMux) {
    const isMember = intent.nodes.get(name)?.roles.some((role) => MEMBER_ROLES.includes(role));
    return isMember ? 'gone' : 'registered';
  }
  const leaves = muxes.drains.has(name);
  if (member !== undefined && !registered) return 'gone';
  if (member !== undefined) return member.isLeaving || leaves ? 'draining' : 'member';
  if (leaves) return 'drained';
  return registered ? 'joining' : 'gone';
}

/** What each other member says of it; how long ago only this node knows, of its own. */
function hearersOf(member: Member, { self, head, muxes, own }: Picture): NodeView['heard'] {
  return head!.members
    .filter(({ id }) => id !== member.id)
    .map(({ name }) => {
      const agoMs = name === self ? own?.hearings.get(member.id)?.agoMs : undefined;
      return {
        by: name,
        ...withDefined({ agoMs }),
        suspects: muxes.suspicions.some((it) => it.observer === name && it.suspect === member.name),
      };
    });
}

function problemsOf(view: NodeView, member: Member | undefined, picture: Picture): string[] {
  const { self, head, muxes, own } = picture;
  const said: string[] = [];
  const suspecting = view.heard.filter(({ suspects }) => suspects).map(({ by }) => by);
  if (view.state === 'gone' && member !== undefined) {
    said.push('Its lease is gone, and it is a member still: the leader takes it out.');
  }
  if (suspecting.length > 0) {
    said.push(`${listed(suspecting)} ${suspecting.length === 1 ? 'does' : 'do'} not hear it.`);
  }
  if (!view.self && member !== undefined && own !== undefined) {
    const hearing = own.hearings.get(member.id);
    if (hearing?.agoMs === undefined) {
      said.push(
        `${self} has never heard it: UDP port ${member.askPort} of ${member.address} may be blocked.`,
      );
    } else if (hearing.agoMs > HEARD_LATE_MS) {
      said.push(`${self} has not heard it for ${span(hearing.agoMs)}.`);
    }
  }
  if (view.pastDeadline) said.push('Its lease has run out: it decides nothing, and relays to others.');
  if (member !== undefined && view.incarnation !== undefined && view.incarnation !== member.incarnation) {
    said.push('It came back with empty tables, and is taken in again under its new incarnation.');
  }
  if ((view.behind ?? 0) > 0) {
    said.push(`It has not acknowledged ${counted(view.behind!, 'version')} of ${head!.number}.`);
  }
  if (member?.isLeaving) said.push(...handingOverSaid(member, picture));
  if (view.state === 'joining') said.push('The next version takes it in.');
  if (view.self && muxes.stale !== undefined) said.push(muxes.stale);
  return said;
}

function handingOverSaid(member: Member, { head, muxes }: Picture): string[] {
  const next = handingOver(head!);
  if (next === undefined) return [];
  if (next !== member) return [`It leaves after ${next.name}: one at a time.`];
  const owing = owingAhead(head!, member, muxes.acknowledgements).map(({ name }) => name);
  if (owing.length === 0) return [];
  return [
    `It leaves once ${listed(owing)} ${owing.length === 1 ? 'has' : 'have'} copied what it keeps to others.`,
  ];
}

function idOf(name: string, { muxes }: Picture): number | undefined {
  return [...muxes.ids].find(([, it]) => it === name)?.[0];
}

function sum<T>(all: readonly T[], of: (it: T) => number): number {
  return all.reduce((total, it) => total + of(it), 0);
}

function withDefined<T extends Record<string, unknown>>(
  values: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
