// What every handle shares: one native object, an idempotent close, and a clear error afterwards.
import { BpfError, ClosedError, EMEDIUMTYPE, must } from './errors.ts';
import { native } from './native.ts';

export abstract class Handle<N extends { close(): void }> {
  #native: N | undefined;
  #subject: string;

  /** Not for callers: handles come from objects, create(), openPinned() or attach. */
  protected constructor(resource: N, expected: new (fd: number) => N, subject: string) {
    if (!(resource instanceof expected)) {
      throw new TypeError('a handle is not constructed directly; use openObject(), create() or openPinned()');
    }
    this.#native = resource;
    this.#subject = subject;
  }

  get closed(): boolean {
    return this.#native === undefined;
  }

  /** Gives the descriptor back. Safe to call twice. */
  close(): void {
    this.#native?.close();
    this.#native = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  protected get native(): N {
    if (this.#native === undefined) throw new ClosedError(`${this.subject} is closed`);
    return this.#native;
  }

  protected get subject(): string {
    return this.#subject;
  }
}

export function duplicate(fd: number, subject: string): number {
  return must(native.duplicate(fd), 'duplicate the descriptor of', subject);
}

export function openPin(path: string, kind: 'prog' | 'map' | 'link'): number {
  const fd = native.openPinned(path, kind);
  const names = { prog: 'program', map: 'map', link: 'link' };
  if (fd === -EMEDIUMTYPE) {
    throw new BpfError('open pinned', path, EMEDIUMTYPE, {
      reason: `the pin does not hold a ${names[kind]}`,
    });
  }
  return must(fd, 'open pinned', path);
}
