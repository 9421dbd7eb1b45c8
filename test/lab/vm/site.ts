// Owns a small network for servers and guests without a cluster: one namespace, where servers listen and the links of guests
// end. It is taken down as labs are, also by the next run if this one was killed.
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../eventually.ts';
import { leftovers, removeAbandoned, removeLab } from '../lab.ts';
import { netnsPath } from '../plan.ts';
import { identify, isAlive } from '../processes.ts';
import { ipBatch, run } from '../shell.ts';
import { labDirectory, type ProcessIdentity, readState, writeState } from '../state.ts';
import { guestPlace, SITE_ADDRESS, type VmPlace } from './place.ts';

export class Site {
  readonly name: string;
  readonly netns: string;
  /** Where servers of this site listen. */
  readonly address4 = SITE_ADDRESS;
  /** For logs, sockets and configurations; goes with the site. */
  readonly directory: string;

  private constructor(name: string) {
    this.name = name;
    this.netns = `hf-${name}-site`;
    this.directory = labDirectory(name);
  }

  static async raise(name: string): Promise<Site> {
    await removeAbandoned();
    await removeLab(name);
    const site = new Site(name);
    mkdirSync(site.directory, { recursive: true });
    const owner = identify(process.pid)!;
    // As of a lab without nodes: whoever finds it knows how to take it down.
    const size = { name, clients: 0, muxes: 0, backends: 0 };
    writeState({ version: 1, size, owner, complete: true, processes: [], pumps: {} });
    run('ip', ['netns', 'add', site.netns]);
    ipBatch(site.netns, ['link set lo up', `addr add ${site.address4}/32 dev lo`]);
    return site;
  }

  /** A guest's, by its number from 1. */
  place(number: number): VmPlace {
    return guestPlace(this.netns, number);
  }

  path(...names: readonly string[]): string {
    return join(this.directory, ...names);
  }

  /** Whoever takes the site down ends these. */
  readonly record = (identity: ProcessIdentity): void => {
    const state = readState(this.name);
    if (state === undefined) throw new Error(`site "${this.name}" is down`);
    state.processes.push(identity);
    writeState(state);
  };

  /** Whatever runs in it ends, or is told as left behind. */
  async down(): Promise<void> {
    const inside = existsSync(netnsPath(this.netns)) ? run('ip', ['netns', 'pids', this.netns]).trim() : '';
    const running = inside.split('\n').flatMap((pid) => identify(Number(pid)) ?? []);
    await removeLab(this.name);
    // What dies with another takes a moment.
    await eventually(
      () => (running.some(isAlive) ? undefined : true),
      `the end of ${inside} in ${this.netns}`,
    );
    const left = leftovers(this.name);
    if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
  }
}
