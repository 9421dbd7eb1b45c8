// Owns an operator of the smallest lab: commands against its daemon, and the cluster that they find there.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { parse } from 'yaml';
import { type Document, documentSchema } from '../../control/config/objects.ts';
import { Failure } from '../../control/lib/failure.ts';
import { type CommandOptions, holdfast, type Outcome } from './command.ts';
import { backendAddress, type SingleLab } from './single.ts';
import { eventually } from './support.ts';

/** Numbers of slots that the weights of tests divide: who had which before does not matter then. */
export const WEB = {
  services: [{ name: 'web', addresses: ['198.18.0.10'], protocol: 'tcp', port: 80, pool: 'web' }],
  pools: [
    { name: 'spare', slots: 101 },
    { name: 'web', slots: 1_000 },
  ],
  backends: [
    { pool: 'web', name: 'b1', address: backendAddress(1), weight: 100, encap: 'ip' },
    { pool: 'web', name: 'b2', address: backendAddress(2), weight: 100, encap: 'gue' },
  ],
} as const satisfies Readonly<Record<keyof Document, readonly object[]>>;

export class Operator {
  readonly lab: SingleLab;
  readonly socket: string;

  constructor(lab: SingleLab) {
    this.lab = lab;
    this.socket = lab.daemon.place.socket;
  }

  /** Makes the cluster be this again; as soon as indexes of backends are free that served a moment ago. */
  async restore(document: object = WEB): Promise<void> {
    const wanted = documentSchema.parse(document);
    await eventually(async () => {
      try {
        return await this.lab.daemon.client.apply(wanted, { force: true });
      } catch (error) {
        if (error instanceof Failure && error.code === 'limit') return undefined;
        throw error;
      }
    }, 'room for the cluster');
  }

  async run(line: string | readonly string[], options: CommandOptions = {}): Promise<Outcome> {
    return await holdfast(line, { socket: this.socket, ...options });
  }

  /** What a command prints that succeeds and has nothing else to say. */
  async done(line: string | readonly string[], options?: CommandOptions): Promise<string> {
    const { exit, stdout, stderr } = await this.run(line, options);
    expect({ line, exit, stderr }).toEqual({ line, exit: 0, stderr: '' });
    return stdout;
  }

  /** The one document that it prints, which is what `schema` knows and nothing that it does not. */
  async json<T>(schema: { parse: (value: unknown) => T }, line: string): Promise<T> {
    const found: unknown = JSON.parse(await this.done(`${line} --json`));
    const parsed = schema.parse(found);
    expect(parsed).toEqual(found);
    return parsed;
  }

  async exported(): Promise<Document> {
    return documentSchema.parse(parse(await this.done('export')));
  }

  file(name: string, text: string): string {
    const path = join(this.lab.directory, name);
    writeFileSync(path, text);
    return path;
  }
}

/** Revisions differ from run to run. */
export function anyRevision(text: string): string {
  return text.replaceAll(/revision \d+/g, 'revision N');
}
