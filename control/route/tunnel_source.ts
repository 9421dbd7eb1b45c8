// Owns noticing that a mux has come to an address to send tunnels from: links may come late.
import type { Rtnetlink } from '@holdfast/linux';
import type { NodeConfig } from '../config/node.ts';
import { tunnelSources } from './interface.ts';

/** Resolves where a mux that had no address to send tunnels from when it began has one now: links may come late. */
export function tunnelSourceFound(
  config: NodeConfig,
  interfaces: readonly string[],
  known: ReturnType<typeof tunnelSources>,
  rtnetlink: Rtnetlink,
  problems: { arise(topic: string, error: unknown): void; solve(topic: string): void },
): Promise<'again'> {
  const { promise, resolve } = Promise.withResolvers<'again'>();
  const missing = known.tunnelSource4 === undefined || known.tunnelSource6 === undefined;
  if (!config.roles.includes('mux') || !missing) return promise;
  const look = () => {
    try {
      const now = tunnelSources(rtnetlink, interfaces[0]!, config.tunnel);
      if (Object.keys(now).length > Object.keys(known).length) resolve('again');
      problems.solve('tunnel source');
    } catch (error) {
      problems.arise('tunnel source', error);
    }
  };
  rtnetlink.watch({ links: true, addresses: true }, (event) => {
    if (event.kind === 'failed') problems.arise('tunnel source', event.error);
    else if (event.kind !== 'closed') look();
  });
  // One that came since the start was before the first event.
  look();
  return promise;
}
