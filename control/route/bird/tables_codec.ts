// Owns reading what BIRD 2 says for people, as far as it is needed: protocols, BFD sessions, counts of routes. What has
// another shape than expected is left out, not guessed.
import type { Reply } from './reply_codec.ts';

export type BirdProtocol = {
  readonly name: string;
  /** BGP, BFD, Static … */
  readonly kind: string;
  /** up, down, start, stop, flush */
  readonly state: string;
  /** Of BGP: Established, Active … */
  readonly session?: string;
  /** What BIRD says about the session, such as a socket's error. */
  readonly detail?: string;
};

export type BfdSession = {
  readonly peer: string;
  readonly interface: string;
  readonly state: string;
  readonly intervalMs: number;
  /** After so long without a packet the session is down. */
  readonly timeoutMs: number;
};

/** More are not looked at. */
export const PROTOCOLS_MAX = 1_024;
export const BFD_SESSIONS_MAX = 1_024;

/** Codes of lines (BIRD 2, doc/reply_codes). */
const VERSION_LINE = 1_000;
const PROTOCOL_LINE = 1_002;
const PROTOCOL_DETAIL_LINE = 1_006;
const BFD_LINE = 1_020;

const PROTOCOL = /^(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s*(.*)$/;
/** States of RFC 4271, and that of a session that is being closed. */
const SESSION = /(?:^|\s)(Idle|Connect|Active|OpenSent|OpenConfirm|Established|Close)(?:\s+(.*))?$/;
const BFD = /^(\S+)\s+(\S+)\s+(AdminDown|Down|Init|Up)\s.*?\s(\d+\.\d+)\s+(\d+\.\d+)\s*$/;
/** `filtered` and `preferred` may stand between and behind. */
const ROUTES = /^\s*Routes:\s+(\d+) imported,(?: \d+ filtered,)? (\d+) exported\b/;

/** `show status` */
export function parseVersion(reply: Reply): string | undefined {
  const line = reply.lines.find(({ code }) => code === VERSION_LINE);
  return line === undefined ? undefined : /^BIRD (\S+)/.exec(line.text)?.[1];
}

/** `show protocols`, also `all`. */
export function parseProtocols(reply: Reply): BirdProtocol[] {
  const rows = reply.lines.filter(({ code }) => code === PROTOCOL_LINE).slice(0, PROTOCOLS_MAX);
  return rows.flatMap(({ text }): BirdProtocol[] => {
    const [, name, kind, , state, rest] = PROTOCOL.exec(text) ?? [];
    if (name === undefined || kind === undefined || state === undefined) return [];
    const [, session, detail] = (kind === 'BGP' && SESSION.exec(rest ?? '')) || [];
    return [
      {
        name,
        kind,
        state,
        ...(session !== undefined && { session }),
        ...(detail !== undefined &&
          detail.trim() !== '' && { detail: detail.trim().replaceAll(/\s+/g, ' ') }),
      },
    ];
  });
}

export type RouteCount = { readonly imported: number; readonly exported: number };

/** `show protocols all NAME`: routes that each protocol has brought in and sent, in all its channels. */
export function parseRouteCounts(reply: Reply): Map<string, RouteCount> {
  const found = new Map<string, RouteCount>();
  let name: string | undefined;
  for (const { code, text } of reply.lines) {
    if (code === PROTOCOL_LINE) {
      name = PROTOCOL.exec(text)?.[1];
      if (name !== undefined && found.size < PROTOCOLS_MAX) found.set(name, { imported: 0, exported: 0 });
    } else if (code === PROTOCOL_DETAIL_LINE && name !== undefined && found.has(name)) {
      const [, imported = 0, exported = 0] = ROUTES.exec(text) ?? [];
      const before = found.get(name)!;
      found.set(name, {
        imported: before.imported + Number(imported),
        exported: before.exported + Number(exported),
      });
    }
  }
  return found;
}

/** `show bfd sessions` */
export function parseBfdSessions(reply: Reply): BfdSession[] {
  const rows = reply.lines.filter(({ code }) => code === BFD_LINE).slice(0, BFD_SESSIONS_MAX);
  return rows.flatMap(({ text }): BfdSession[] => {
    const [, peer, name, state, interval, timeout] = BFD.exec(text) ?? [];
    if (peer === undefined || name === undefined || state === undefined) return [];
    return [
      {
        peer,
        interface: name,
        state,
        intervalMs: Math.round(Number(interval) * 1_000),
        timeoutMs: Math.round(Number(timeout) * 1_000),
      },
    ];
  });
}
