// Owns what a table of procedures is, and finding a procedure by the numbers of a call. Tables are nfs3.ts, mount.ts and
// portmap.ts.
import { MARK_BYTES } from './record.ts';
import { REPLY_HEAD_BYTES } from './rpc.ts';
import type { XdrReader, XdrWriter } from './xdr.ts';

/** What is done between `decode` and `encode` is others' concern. */
export interface Procedure<Arguments = unknown, Result = never> {
  readonly number: number;
  readonly name: string;
  /**
   * Arguments as the reader stands; what is wrong with them says the reader. The object is the same each time: it
   * counts until arguments of this procedure are decoded again.
   */
  readonly decode: (reader: XdrReader) => Arguments;
  readonly encode: (writer: XdrWriter, result: Result) => void;
  /** Whether doing it twice does no harm: what is not idempotent is answered from the cache of duplicates. */
  readonly idempotent: boolean;
  /** No result is longer, whatever the arguments. */
  readonly resultBytesMax: number;
  /** The same for these arguments; without it `resultBytesMax`. */
  readonly resultBytes?: (args: Arguments) => number;
}

/** One version of a program, procedures in the order of their numbers. */
export interface Program {
  readonly number: number;
  readonly version: number;
  readonly name: string;
  readonly procedures: readonly (AnyProcedure | undefined)[];
}

// biome-ignore lint/suspicious/noExplicitAny: a table has procedures of all types
export type AnyProcedure = Procedure<any, any>;

export type ArgumentsOf<P> = P extends Procedure<infer A, never> ? A : never;
export type ResultOf<P> = P extends { encode: (writer: XdrWriter, result: infer R) => void } ? R : never;

/** Why a call names no procedure; the versions of the program if there are other ones. */
export type Unavailable =
  | { readonly what: 'program' }
  | { readonly what: 'version'; readonly low: number; readonly high: number }
  | { readonly what: 'procedure' };

const NO_PROGRAM: Unavailable = { what: 'program' };
const NO_PROCEDURE: Unavailable = { what: 'procedure' };

export class Programs {
  readonly #programs: readonly Program[];
  readonly #versions = new Map<number, Unavailable>();

  /** No reply is longer, as a record. */
  readonly replyBytesMax: number;

  constructor(programs: readonly Program[]) {
    this.#programs = programs;
    const results = programs.flatMap(({ procedures }) => procedures.map((one) => one?.resultBytesMax ?? 0));
    this.replyBytesMax = MARK_BYTES + REPLY_HEAD_BYTES + Math.max(...results);
    for (const [number, versions] of Map.groupBy(programs, (program) => program.number)) {
      const numbers = versions.map(({ version }) => version);
      const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
      this.#versions.set(number, { what: 'version', low, high });
    }
  }

  find(number: number, version: number, procedure: number): AnyProcedure | Unavailable {
    const programs = this.#programs;
    for (let i = 0; i < programs.length; i++) {
      const program = programs[i]!;
      if (program.number === number && program.version === version)
        return (
          (procedure < program.procedures.length ? program.procedures[procedure] : undefined) ?? NO_PROCEDURE
        );
    }
    return this.#versions.get(number) ?? NO_PROGRAM;
  }
}

/** Arguments and results of procedures that have none. */
export function decodeNothing(): undefined {
  return undefined;
}

export function encodeNothing(): void {}
