import { beforeEach, describe, expect, it } from 'vitest';
import type { Attachment } from '../../../control/api/schema.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { Interfaces } from '../../../control/node/interfaces.ts';
import { Problems } from '../../../control/node/problems.ts';
import type { ProgramRole, XdpMode } from '../../../control/node/role.ts';

/** A host with links, some of which refuse. */
class Host {
  links = new Set(['eth0']);
  refusal: Failure | undefined;
  attempts = 0;
  readonly #attached = new Map<string, 'native' | 'generic'>();

  readonly role: ProgramRole = {
    role: 'mux',
    attach: (name: string, mode: XdpMode) => {
      this.attempts++;
      if (!this.links.has(name)) {
        throw new Failure('not_found', `there is no interface ${name}`, { remedy: 'choose one of: lo' });
      }
      if (this.refusal !== undefined) throw this.refusal;
      this.#attached.set(name, mode === 'generic' ? 'generic' : 'native');
    },
    detach: (name: string) => {
      this.#attached.delete(name);
    },
    attachments: () =>
      [...this.#attached]
        .filter(([name]) => this.links.has(name))
        .map(([name, mode]) => ({ interface: name, mode }) as Attachment),
  } as unknown as ProgramRole;

  remove(name: string): void {
    this.links.delete(name);
    this.#attached.delete(name);
  }
}

let host: Host;
let problems: Problems;
let interfaces: Interfaces;
let told: string[];
let nowMs = 0;

beforeEach(() => {
  host = new Host();
  told = [];
  const tell = ({ kind, message }: { kind: string; message: string }) => told.push(`${kind}: ${message}`);
  problems = new Problems(tell);
  interfaces = new Interfaces({ roles: [host.role], problems, tell, nowMs: () => nowMs });
});

const attached = () => host.role.attachments().map((it) => it.interface);

describe('an interface that is wanted', () => {
  it('is attached as soon as it is there', () => {
    interfaces.want('eth7', 'auto');
    expect(problems.list()).toEqual([
      {
        code: 'not_found',
        message: 'There is no interface eth7.',
        cause: 'The program is to be on eth7, and is attached once it is there.',
        remedy: 'If the name is wrong, correct it in the configuration: choose one of: lo',
      },
    ]);
    host.links.add('eth7');
    interfaces.look();
    expect(attached()).toEqual(['eth7']);
    expect(problems.list()).toEqual([]);
    expect(told).toEqual([
      'problem: There is no interface eth7.',
      'attached: mux is on eth7, native mode',
      'solved: There is no interface eth7.',
    ]);
  });

  it('is attached again when it has gone and come back', () => {
    interfaces.want('eth0', 'auto');
    host.remove('eth0');
    interfaces.look();
    expect(problems.list()).toMatchObject([{ message: 'There is no interface eth0.' }]);
    host.links.add('eth0');
    interfaces.look();
    expect(attached()).toEqual(['eth0']);
    expect(problems.list()).toEqual([]);
  });

  it('is left alone while it is attached', () => {
    interfaces.want('eth0', 'auto');
    interfaces.look();
    interfaces.look();
    expect(host.attempts).toBe(1);
  });

  it('that refuses is tried less and less often', () => {
    host.refusal = new Failure('conflict', 'eth0 has another program');
    interfaces.want('eth0', 'auto');
    const attemptsUntil = (endMs: number) => {
      for (; nowMs < endMs; nowMs += 500) interfaces.look();
      return host.attempts;
    };
    expect(attemptsUntil(10_000)).toBe(4);
    expect(attemptsUntil(300_000)).toBeLessThan(12);
    host.refusal = undefined;
    attemptsUntil(nowMs + 60_000);
    expect(attached()).toEqual(['eth0']);
    expect(problems.list()).toEqual([]);
  });
});

describe('an interface that was detached', () => {
  it('stays so, and is no problem', () => {
    interfaces.want('eth0', 'auto');
    expect(interfaces.detach('eth0')).toBe(true);
    interfaces.look();
    expect(attached()).toEqual([]);
    expect(problems.list()).toEqual([]);
  });

  it('may be one that never came', () => {
    interfaces.want('eth7', 'auto');
    expect(interfaces.detach(undefined)).toBe(true);
    host.links.add('eth7');
    interfaces.look();
    expect(attached()).toEqual([]);
    expect(problems.list()).toEqual([]);
  });

  it('must have been attached', () => {
    expect(interfaces.detach('lo')).toBe(false);
  });
});

describe('attaching by hand', () => {
  it('refuses another mode than the one it has', () => {
    interfaces.attach('eth0', 'native');
    interfaces.attach('eth0', 'auto');
    expect(() => interfaces.attach('eth0', 'generic')).toThrow(
      expect.objectContaining({
        code: 'conflict',
        message: 'the program is on eth0 already, in native mode',
        remedy: expect.stringContaining('holdfast detach eth0'),
      }),
    );
  });

  it('is followed from then on', () => {
    interfaces.attach('eth0', 'generic');
    host.remove('eth0');
    host.links.add('eth0');
    interfaces.look();
    expect(host.role.attachments()).toMatchObject([{ interface: 'eth0', mode: 'generic' }]);
  });

  it('that fails is not tried again', () => {
    expect(() => interfaces.attach('eth7', 'auto')).toThrow('there is no interface eth7');
    host.links.add('eth7');
    interfaces.look();
    expect(attached()).toEqual([]);
  });
});
