// Owns which interfaces the programs of a node are to be on, and trying again where they are not: links come late, go
// away and come back, and another program may have been there first. Not here: how a program is attached
// (control/dataplane).
import type { NodeEvent } from '../api/schema.ts';
import { Failure } from '../lib/failure.ts';
import type { Problems } from './problems.ts';
import type { ProgramRole, XdpMode } from './role.ts';

/** How soon a link that has come is noticed. */
export const LOOK_INTERVAL_MS = 1_000;
/** Between attempts that a driver or the kernel refuses: some take the link down for each. */
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 60_000;

export type InterfacesOptions = {
  readonly roles: readonly ProgramRole[];
  readonly problems: Problems;
  readonly tell: (event: Omit<NodeEvent, 'atMs'>) => void;
  readonly nowMs: () => number;
};

type Wanted = { readonly mode: XdpMode; retryAtMs: number; pauseMs: number };

export class Interfaces {
  readonly #options: InterfacesOptions;
  readonly #wanted = new Map<string, Wanted>();

  constructor(options: InterfacesOptions) {
    this.#options = options;
  }

  /** From now on; where it cannot be yet, that is a problem of the node. */
  want(name: string, mode: XdpMode): void {
    this.#wanted.set(name, { mode, retryAtMs: 0, pauseMs: RETRY_MIN_MS });
    this.look();
  }

  /** At once, and from now on. @throws Failure, and then nothing has changed. */
  attach(name: string, mode: XdpMode): void {
    const { roles, problems, tell } = this.#options;
    for (const role of roles) {
      const before = attachmentOf(role, name);
      if (before !== undefined && (mode === 'auto' || mode === before.mode)) continue;
      if (before !== undefined) {
        throw new Failure('conflict', `the program is on ${name} already, in ${before.mode} mode`, {
          remedy: `detach it first (holdfast detach ${name}): its traffic is not balanced until it is attached again`,
        });
      }
      role.attach(name, mode);
      tell({
        kind: 'attached',
        message: `${role.role} is on ${name}, ${attachmentOf(role, name)?.mode} mode`,
      });
    }
    this.#wanted.set(name, { mode, retryAtMs: 0, pauseMs: RETRY_MIN_MS });
    problems.solve(problemOf(name));
  }

  /** From now on, off all where none is named. False where it neither was nor was to be on any. */
  detach(name: string | undefined): boolean {
    const { roles, problems, tell } = this.#options;
    const leaving = [...this.#wanted.keys()].filter((it) => name === undefined || it === name);
    for (const it of leaving) {
      this.#wanted.delete(it);
      problems.solve(problemOf(it));
    }
    let found = leaving.length > 0;
    for (const role of roles) {
      for (const it of role.attachments()) {
        if (name !== undefined && it.interface !== name) continue;
        role.detach(it.interface);
        tell({ kind: 'detached', message: `${role.role} is off ${it.interface}` });
        found = true;
      }
    }
    return found;
  }

  /** Tries again what is missing, and whose time it is. */
  look(): void {
    const { roles, problems, nowMs } = this.#options;
    for (const [name, wanted] of this.#wanted) {
      if (roles.every((role) => attachmentOf(role, name) !== undefined)) continue;
      if (nowMs() < wanted.retryAtMs) continue;
      try {
        this.attach(name, wanted.mode);
      } catch (error) {
        const isMissing = error instanceof Failure && error.code === 'not_found';
        problems.arise(problemOf(name), isMissing ? missing(name, error) : error);
        if (isMissing) continue;
        wanted.retryAtMs = nowMs() + wanted.pauseMs;
        wanted.pauseMs = Math.min(2 * wanted.pauseMs, RETRY_MAX_MS);
      }
    }
  }
}

function attachmentOf(role: ProgramRole, name: string) {
  return role.attachments().find((it) => it.interface === name);
}

function problemOf(name: string): string {
  return `attach ${name}`;
}

function missing(name: string, { message, remedy }: Failure): Failure {
  return new Failure('not_found', message, {
    reason: `The program is to be on ${name}, and is attached once it is there.`,
    ...(remedy !== undefined && {
      remedy: `if the name is wrong, correct it in the configuration: ${remedy}`,
    }),
  });
}
