// Owns running commands of users on a node: in its namespace, and with a `holdfast` that talks to the node's daemon.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { placeOf } from './configuration.ts';
import { type LabNode, type LabPlan, nodesOf } from './plan.ts';

const BIN = fileURLToPath(new URL('../../scripts/bin', import.meta.url));
const TIMEOUT_MS = 20_000;

export type NodeCommand = {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
};

/** @throws Error that names the nodes there are. */
export function commandOn(plan: LabPlan, nodeName: string, command: readonly string[]): NodeCommand {
  const nodes = nodesOf(plan);
  const node = nodes.find(({ name }) => name === nodeName);
  if (node === undefined && nodeName !== 'router') {
    const names = nodes.map(({ name }) => name).join(', ');
    throw new Error(`there is no node ${nodeName}; there are: router, ${names}`);
  }
  return {
    file: 'ip',
    args: ['netns', 'exec', node?.netns ?? plan.router.netns, ...command],
    env: {
      ...process.env,
      PATH: `${BIN}:${process.env.PATH ?? ''}`,
      ...(node !== undefined && hasDaemon(node) && { HOLDFAST_SOCKET: placeOf(plan, node).socket }),
    },
  };
}

/** What `holdfast ARGS --json` answers on this node. */
export async function holdfast(plan: LabPlan, nodeName: string, args: readonly string[]): Promise<unknown> {
  const { file, args: all, env } = commandOn(plan, nodeName, ['holdfast', ...args, '--json']);
  const { stdout } = await promisify(execFile)(file, all, { env, timeout: TIMEOUT_MS });
  return JSON.parse(stdout);
}

function hasDaemon({ kind }: LabNode): boolean {
  return kind === 'mux' || kind === 'backend';
}
