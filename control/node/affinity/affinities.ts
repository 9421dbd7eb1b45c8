// Owns answering about clients with affinity from every place where they are known. Muxes have them as flows whose key is a
// client; servers that hear every packet have tables of them.
import type { AffinityPort, AffinitySelection } from '../../api/affinity_port.ts';
import type { Affinities, AffinityEntry, AffinityExplanation, AffinityRelease } from '../../api/schema.ts';
import { Failure } from '../../lib/failure.ts';

/** One such place. It answers not_found for what is of another. */
export interface AffinitySource extends AffinityPort {
  readonly name: AffinityEntry['source'];
}

export class KnownAffinities implements AffinityPort {
  readonly #sourcesNow: () => readonly AffinitySource[];

  /** `sources`: those of the version in effect. */
  constructor(sources: () => readonly AffinitySource[]) {
    this.#sourcesNow = sources;
  }

  /** A page is of one source, one after the other. */
  async list(
    selection: AffinitySelection,
    { limit, after, local }: { limit: number; after?: string; local: boolean },
  ): Promise<Affinities> {
    const [, name, position] = /^([a-z]+)\.(.*)$/.exec(after ?? '') ?? [];
    const sources = this.#sourcesNow();
    const at = after === undefined ? 0 : sources.findIndex((it) => it.name === name);
    const source = sources[at];
    if (source === undefined) {
      throw new Failure('invalid', 'The list cannot go on from there.', {
        reason: `"${after}" is no position.`,
        remedy: 'Give after as the page before had it in next.',
      });
    }
    const { next, ...page } = await source.list(selection, {
      limit,
      local,
      ...(position ? { after: position } : {}),
    });
    const following = sources[at + 1];
    if (next !== undefined) return { ...page, next: `${source.name}.${next}` };
    return following === undefined ? page : { ...page, next: `${following.name}.` };
  }

  async explain(
    client: string,
    options: Parameters<AffinityPort['explain']>[1],
  ): Promise<AffinityExplanation> {
    const found = await this.#ofEach((source) => source.explain(client, options));
    return {
      client: found[0]!.client,
      items: found.flatMap(({ items }) => items),
      unanswered: found.flatMap(({ unanswered }) => unanswered),
    };
  }

  async release(client: string, options: Parameters<AffinityPort['release']>[1]): Promise<AffinityRelease> {
    const done = await this.#ofEach((source) => source.release(client, options));
    return {
      dryRun: options.dryRun,
      action: done.some(({ action }) => action === 'release') ? 'release' : 'none',
      client: done[0]!.client,
      items: done.flatMap(({ items }) => items),
      effects: done.flatMap(({ effects }) => effects),
      unanswered: done.flatMap(({ unanswered }) => unanswered),
    };
  }

  /** @throws Failure of the first, where none knows of it. */
  async #ofEach<T>(question: (source: AffinitySource) => Promise<T>): Promise<T[]> {
    const found: T[] = [];
    let missing: Failure | undefined;
    for (const source of this.#sourcesNow()) {
      try {
        found.push(await question(source));
      } catch (error) {
        if (!(error instanceof Failure) || error.code !== 'not_found') throw error;
        missing ??= error;
      }
    }
    if (found.length === 0) throw missing!;
    return found;
  }
}
