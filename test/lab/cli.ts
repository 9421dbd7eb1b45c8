// The lab's command line: scripts/lab up|down|exec|ping|status|impair.
import { spawnSync } from 'node:child_process';
import yargs from 'yargs';
import { drawTable, drawTopology, paint } from './drawing.ts';
import {
  DIRECTIONS,
  type Direction,
  type ImpairOptions,
  type ImpairStatus,
  REORDER_WAIT_MS,
} from './impairment.ts';
import { labStatus, ping } from './inspect.ts';
import { keptLab, Lab, leftovers, removeLab, standingLab } from './lab.ts';
import { impairedLinks, impairLink, straightenLink } from './links.ts';
import { nextSteps } from './next_steps.ts';
import { commandOn } from './node_command.ts';
import {
  BACKENDS_MAX,
  type LabNode,
  type LabPlan,
  MUXES_MAX,
  nodesOf,
  ROUTES,
  type RouteKind,
  STORES,
  type StoreKind,
} from './plan.ts';
import { readState } from './state.ts';

const print = (text: string): boolean => process.stdout.write(`${text}\n`);
const printJson = (value: unknown): boolean => print(JSON.stringify(value, undefined, 2));

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader has what it wanted: `| head`.
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

const { own, command } = splitArguments(process.argv.slice(2));

await yargs(own)
  .scriptName('scripts/lab')
  .usage('$0 COMMAND\n\nA cluster in network namespaces of this machine, to try things on.')
  .option('name', { type: 'string', default: 'lab', describe: 'which lab, where there are several' })
  .option('json', { type: 'boolean', default: false, describe: 'print one JSON document' })
  .command(
    'up',
    'raise the lab, which stays until it is taken down; does nothing where it is up',
    (it) =>
      it
        .option('backends', { type: 'number', default: 6, describe: `1 to ${BACKENDS_MAX}` })
        .option('muxes', { type: 'number', default: 3, describe: `1 to ${MUXES_MAX}` })
        .option('clients', { type: 'number', default: 2 })
        .option('store', { choices: STORES, default: 'sqlite' as const, describe: 'what the daemons share' })
        .option('routes', {
          choices: ROUTES,
          default: 'static' as const,
          describe: 'how the router knows the muxes: bird has them announce themselves by BGP',
        }),
    async ({ name, json, backends, muxes, clients, store, routes }) => {
      const plan = await up({ name, backends, muxes, clients, store, routes });
      if (json) printJson(plan);
      else print(`${drawTopology(plan, process.stdout.columns)}\n\n${nextSteps(plan)}`);
    },
  )
  .command(
    'down',
    'remove the lab and everything that belongs to it, also after a crash',
    (it) => it,
    async ({ name, json }) => {
      await removeLab(name);
      const left = leftovers(name);
      if (json) printJson({ name, leftovers: left });
      if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
    },
  )
  .command(
    'exec <node> [command..]',
    'run a command on a node: client1, router, mux1, backend1, …; a shell without one',
    (it) =>
      it
        .positional('node', { type: 'string', demandOption: true })
        .example('$0 exec client1 curl http://198.18.0.10/hello/x', 'a request from a client')
        .example('$0 exec mux1 holdfast status', 'the command talks to the daemon of the node')
        .example('$0 exec backend1 ip -s link show eth0', ''),
    // Asynchronous like all of them: yargs lets what others throw pass by fail() below.
    async ({ name, node }) => {
      const wanted = command.length > 0 ? command : [process.env.SHELL ?? 'sh'];
      const { file, args, env } = commandOn(standingLab(name) ?? (await mustBeUp(name)), node, wanted);
      const { status, error } = spawnSync(file, args, { stdio: 'inherit', env });
      if (error !== undefined) throw error;
      process.exitCode = status ?? 1;
    },
  )
  .command(
    'ping',
    'one request through each mux to each service address; says which backend answered',
    (it) => it,
    async ({ name, json }) => {
      const rows = await ping(await mustBeUp(name));
      if (json) printJson(rows);
      else {
        const cells = rows.map((row) =>
          'error' in row
            ? [row.mux, row.address, paint('red', row.error), '']
            : [row.mux, row.address, row.backend, `${row.roundTripMs.toFixed(2)} ms`],
        );
        print(drawTable(['mux', 'service', 'backend', 'round trip'], cells));
      }
      if (rows.some((row) => 'error' in row)) process.exitCode = 1;
    },
  )
  .command(
    'impair <node> [off]',
    "lose, delay, reorder or double packets between a node and the router; 'off': no longer; alone: what is set and counted",
    (it) =>
      it
        .positional('node', { type: 'string', demandOption: true })
        .positional('off', { choices: ['off'] as const })
        .option('direction', {
          choices: [...DIRECTIONS, 'both'] as const,
          default: 'both' as const,
          describe: 'from the node, to it',
        })
        .option('loss', { type: 'number', describe: 'percent' })
        .option('delay', { type: 'number', describe: 'milliseconds' })
        .option('jitter', { type: 'number', describe: 'milliseconds more or less than the delay' })
        .option('reorder', { type: 'number', describe: `percent that wait ${REORDER_WAIT_MS} ms longer` })
        .option('duplicate', { type: 'number', describe: 'percent' })
        .option('seed', { type: 'number', describe: 'the same seed and packets: the same losses' })
        .example('$0 impair client1 --loss 2 --delay 5 --jitter 3', 'both ways')
        .example('$0 impair mux1 --direction to --reorder 10', ''),
    async ({ name, json, node: nodeName, off, direction, loss, delay, jitter, reorder, duplicate, seed }) => {
      const plan = await mustBeUp(name);
      const node = linkedNode(plan, nodeName);
      const state = readState(name)!;
      const given = {
        lossPercent: loss,
        delayMs: delay,
        jitterMs: jitter,
        reorderPercent: reorder,
        duplicatePercent: duplicate,
        seed,
      };
      const set = Object.fromEntries(
        Object.entries(given).filter(([, value]) => value !== undefined),
      ) as ImpairOptions;
      if (off === 'off') await straightenLink(plan, state, node);
      else if (Object.keys(set).length > 0) await impairLink(plan, state, node, { direction, ...set });
      const status = impairedLinks(plan, readState(name)!);
      if (json) printJson(status[node.name] ?? null);
      else print(describeImpairments(status));
    },
  )
  .command(
    'status',
    'what is up, how every daemon is, and what the programs have counted',
    (it) => it,
    async ({ name, json }) => {
      const status = await labStatus(name, keptLab(name));
      if (json) {
        printJson(status);
        return;
      }
      const { processes, state, owner } = status;
      print(`lab "${name}" is ${state}${owner === undefined ? '' : ` by process ${owner}`}`);
      if (state === 'down') return;
      print(`  ${processes.alive} servers run${processes.ended > 0 ? `, ${processes.ended} ended` : ''}`);
      const daemons = Object.entries(status.daemons).map(([node, it]) =>
        'error' in it
          ? [node, paint('red', 'does not answer'), '', '', it.error]
          : [node, 'runs', it.adopted, String(it.appliedRevision), it.problems.join(' ') || 'none'],
      );
      if (daemons.length > 0) print(drawTable(['daemon', '', 'tables', 'revision', 'problems'], daemons));
      const rows = Object.entries(status.packets).flatMap(([node, reasons]) =>
        Object.entries(reasons).map(([reason, packets]) => [node, reason, String(packets)]),
      );
      if (rows.length > 0) print(drawTable(['node', 'reason', 'packets'], rows));
      if (Object.keys(status.impaired).length > 0) print(describeImpairments(status.impaired));
    },
  )
  .demandCommand(1, 'Say what to do: up, down, exec, ping, status or impair.')
  .strictCommands()
  .help()
  .version(false)
  .fail((message, error, parser) => {
    if (error === undefined || error === null) {
      process.stderr.write(`${message}\n\n`);
      parser.showHelp();
      process.exit(2);
    }
    process.stderr.write(`scripts/lab: ${error.message}\n`);
    process.exit(1);
  })
  .parseAsync();

// Options that follow the node's name are those of the command, not ours.
function splitArguments(given: readonly string[]): { own: string[]; command: string[] } {
  const at = given.indexOf('exec');
  if (at < 0 || given[at + 1]?.startsWith('-')) return { own: [...given], command: [] };
  const command = given.slice(at + 2);
  if (command[0] === '--') command.shift();
  return { own: given.slice(0, at + 2), command };
}

// What the terminal's Ctrl-C interrupts is removed by the next `up` or `down`.
async function up(size: {
  name: string;
  backends: number;
  muxes: number;
  clients: number;
  store: StoreKind;
  routes: RouteKind;
}): Promise<LabPlan> {
  const kept = keptLab(size.name);
  if (kept !== undefined) {
    const same =
      kept.backends.length === size.backends &&
      kept.muxes.length === size.muxes &&
      kept.clients.length === size.clients &&
      (kept.etcd !== undefined) === (size.store === 'etcd') &&
      kept.routes === size.routes;
    if (same) return kept;
    throw new Error(`lab "${size.name}" is up with another size; take it down first: scripts/lab down`);
  }
  // Parts of a lab that was kept: a server ended, somebody removed a namespace.
  if ((await labStatus(size.name, undefined)).state === 'broken') await removeLab(size.name);
  const lab = await Lab.raise(size);
  await lab.keep();
  return lab.plan;
}

async function mustBeUp(name: string): Promise<LabPlan> {
  const plan = keptLab(name);
  if (plan !== undefined) return plan;
  const { state } = await labStatus(name, undefined);
  throw new Error(
    state === 'broken'
      ? `parts of lab "${name}" are gone: scripts/lab up raises it again`
      : `lab "${name}" is not up: scripts/lab up`,
  );
}

function linkedNode(plan: LabPlan, name: string): LabNode {
  const nodes = nodesOf(plan);
  const node = nodes.find((it) => it.name === name);
  if (node !== undefined) return node;
  const names = nodes.map((it) => it.name).join(', ');
  throw new Error(
    name === 'router'
      ? `name the node at the other end: ${names}`
      : `there is no node ${name}; there are: router, ${names}`,
  );
}

function describeImpairments(status: Readonly<Record<string, ImpairStatus | 'broken'>>): string {
  const rows = Object.entries(status).flatMap(([node, link]) =>
    link === 'broken'
      ? [[node, paint('red', `its process is gone: scripts/lab impair ${node} off`)]]
      : DIRECTIONS.map((direction) => impairmentRow(node, direction, link[direction])),
  );
  const head = [
    'node',
    '',
    'loss',
    'delay',
    'reorder',
    'twice',
    'packets',
    'lost',
    'delayed',
    'reordered',
    'doubled',
    'no room',
  ];
  return rows.length === 0 ? 'no link is impaired' : drawTable(head, rows);
}

function impairmentRow(node: string, direction: Direction, it: ImpairStatus[Direction]): string[] {
  const settings = [
    `${it.lossPercent} %`,
    `${it.delayMs} ms${it.jitterMs > 0 ? ` ± ${it.jitterMs} ms` : ''}`,
    `${it.reorderPercent} %`,
    `${it.duplicatePercent} %`,
  ];
  const counts = [it.packets, it.lost, it.delayed, it.reordered, it.duplicated, it.overflowed];
  return [node, direction, ...settings, ...counts.map(String)];
}
