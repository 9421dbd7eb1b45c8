// Owns what a probe is: one question to one backend, and what it came to. The questions are in the files beside this one;
// when they are asked, and for how long, is checks_core.ts.
import type { Health, HealthCommands } from '../../config/health.ts';
import type { Result } from '../checks_core.ts';

/** Of an answer; what comes after it is not read. */
export const ANSWER_BYTES_MAX = 65_536;

export type Question = {
  readonly health: Health;
  /** Where the question goes: the backend's own address, or the service's through the tunnel. */
  readonly address: string;
  readonly port: number;
  /** What it must come from so that it goes through the tunnel. */
  readonly from?: { readonly address: string; readonly port: number } | undefined;
  /** For commands. */
  readonly backend: {
    readonly pool: string;
    readonly name: string;
    readonly address: string;
  };
  /** Undefined: this node runs none. */
  readonly commands: HealthCommands | undefined;
};

/**
 * Resolves with what it came to, also where it could not be asked. Once `signal` is aborted nothing is left of it: sockets are
 * destroyed, processes killed; what it resolves with then counts for nothing, and it need not resolve.
 */
export type Probe = (question: Question, signal: AbortSignal) => Promise<Result>;

export const good = (reason: string): Result => ({ isGood: true, reason });
export const bad = (reason: string): Result => ({ isGood: false, reason });

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset before an answer',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  ENETDOWN: 'network is down',
  ETIMEDOUT: 'timeout: no answer to the connection',
  EPIPE: 'connection closed before an answer',
};

/** Troubles of this host, which say nothing about whom it asks. */
const OWN_TROUBLES = new Set([
  'EADDRINUSE',
  'EADDRNOTAVAIL',
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
  'EACCES',
  'EPERM',
  'EAGAIN',
  'ENETUNREACH',
  'ENETDOWN',
]);

export const isOwnTrouble = (code: string): boolean => OWN_TROUBLES.has(code);

export const unable = (reason: string): Result => ({ isGood: undefined, reason });

/** What an error of asking comes to. */
export function failed(error: unknown): Result {
  const { code } = error as { code?: string };
  return code !== undefined && isOwnTrouble(code) ? unable(wordsOf(error)) : bad(wordsOf(error));
}

/** In words, shortly: what an operator reads of a backend that is down. */
export function wordsOf(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  if (code !== undefined && WORDS[code] !== undefined) return WORDS[code];
  return (message ?? String(error)).replaceAll(/\s+/g, ' ');
}

/** What a text of the configuration stands for: itself, or bytes after `hex:`. */
export function bytesOf(text: string): Buffer {
  return text.startsWith('hex:') ? Buffer.from(text.slice('hex:'.length), 'hex') : Buffer.from(text);
}

/** An address as it stands in URLs and Host headers. */
export function inUrl(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
