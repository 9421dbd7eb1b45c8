// holdfastd: the composition root, which alone builds real stores, sockets, clocks and programs, and connects them.
// What the parts do is theirs.
import { readFileSync } from 'node:fs';
import { hostname, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Rtnetlink, sdNotify, watchdogIntervalMs } from '@holdfast/linux';
import { type Logger, pino } from 'pino';
import { checkIdentity } from './api/listen.ts';
import { type Api, createApi } from './api/server.ts';
import { Agreement } from './cluster/agreement.ts';
import { begin } from './cluster/beginning.ts';
import { awaitCopies } from './cluster/hand_over.ts';
import { ProgressWriter } from './cluster/progress.ts';
import { type SavedMembership, savedMembership } from './cluster/saved_membership.ts';
import { SavedStateFile } from './cluster/saved_state.ts';
import { ClusterView } from './cluster/view.ts';
import type { ClusterState } from './config/cluster_state.ts';
import { fileServiceSchema } from './config/file_service.ts';
import { NODE_CONFIG_PATH, type NodeConfig, PROGRAM_ROLES, programRoleOf } from './config/node.ts';
import { nodeNameOf } from './config/node_file.ts';
import { DecapProgram } from './dataplane/decap.ts';
import { flowTableSizes } from './dataplane/flow_sizes.ts';
import { hashKeyFromSecret } from './dataplane/hash.ts';
import { MuxProgram } from './dataplane/mux.ts';
import { PinDirectory } from './dataplane/pins.ts';
import { examine } from './doctor/facts.ts';
import { fileKey } from './file/store/key.ts';
import { readNodeConfig } from './io/config_file.ts';
import { hostClock } from './io/host_clock.ts';
import { NodeLock } from './io/node_lock.ts';
import { PROBE_PORTS } from './io/probe_ports.ts';
import { ProbeWay } from './io/probe_way.ts';
import { FAILURES, Failure } from './lib/failure.ts';
import { BackendRole } from './node/backend_role.ts';
import { FileRole } from './node/file/role.ts';
import { type ClusterPart, openFilterPart } from './node/filter_part.ts';
import { healthObserver, NO_TUNNEL, NodeHealth } from './node/health.ts';
import { HealthTunnel } from './node/health_tunnel.ts';
import { apiAddress, judgeCertificates, listenEverywhere, reload } from './node/listeners.ts';
import { MuxCluster } from './node/mux_cluster.ts';
import { clusterProgramOf, flowTasksOf } from './node/mux_ports.ts';
import { MuxRole } from './node/mux_role.ts';
import { MuxRoutes } from './node/mux_routes.ts';
import { NodeNamespace } from './node/namespace.ts';
import { Node } from './node/node.ts';
import type { Problems } from './node/problems.ts';
import { buildTracking, followOnly } from './node/tracking/sources.ts';
import { NodeTrust } from './node/trust/node_trust.ts';
import { openWire } from './node/wire.ts';
import { forgetRoutes } from './route/forget.ts';
import {
  defaultInterface,
  firstAddress,
  formatTunnelSource,
  ownAddresses,
  tunnelSources,
} from './route/interface.ts';
import { NextHops, type Path } from './route/next_hop.ts';
import { describeStore, openStore } from './store/open.ts';

const USAGE = `holdfastd: keeps the programs of this node at the cluster's state, and answers its API.

  holdfastd [--config FILE]           run; without FILE: ${NODE_CONFIG_PATH} or, where there is none, the defaults
  holdfastd --check [--config FILE]   say what is wrong with the configuration and its certificates, and end
  holdfastd --detach [--config FILE]  take off what a daemon left attached, and end
  holdfastd --version

SIGTERM and SIGINT end the daemon and leave forwarding on; holdfast detach takes it off.
SIGHUP reads the API's certificates again. The log is JSON, a line each, on standard error.
`;

const CERTIFICATE_CHECK_MS = 3_600_000;

const VERSION = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  // What was opened before would keep a daemon that does nothing alive.
  process.exit(complain(error));
}

async function main(given: readonly string[]): Promise<number> {
  const { values } = parse(given);
  if (values.help) return print(USAGE);
  if (values.version) return print(`holdfastd ${VERSION}\n`);
  const { config, from } = readNodeConfig(values.config);
  if (values.check) return await check(config, from);
  if (process.getuid?.() !== 0) {
    throw new Failure('forbidden', 'holdfastd needs root: it loads programs into the kernel', {
      remedy: 'start it with sudo or as a service',
    });
  }
  const lock = new NodeLock(config.stateDirectory);
  if (values.detach) return await detachAll(config);
  const log = pino({ level: config.log.level, base: null }, pino.destination({ dest: 2, sync: true }));
  const signals = followSignals();
  while ((await run(config, log, signals)) === 'again')
    log.info('holdfastd begins again; forwarding goes on');
  lock.release();
  return 0;
}

function parse(given: readonly string[]) {
  try {
    return parseArgs({
      args: [...given],
      options: {
        config: { type: 'string', short: 'c' },
        check: { type: 'boolean', default: false },
        detach: { type: 'boolean', default: false },
        version: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (cause) {
    throw new Failure('invalid', 'holdfastd does not understand its arguments', {
      cause,
      remedy: 'holdfastd --help',
    });
  }
}

async function check(config: NodeConfig, from: string | undefined): Promise<number> {
  await checkIdentity(config.api);
  // Reads its certificates, and asks nobody.
  if (describeStore(config.store).kind === 'etcd') {
    await (await openStore(config.store, { clock: hostClock(), etcd: config.etcd })).close();
  }
  return print(
    from === undefined
      ? `there is no ${NODE_CONFIG_PATH}: everything is as by default\n`
      : `${from} is as it should be\n`,
  );
}

/** Until a signal ends it; or until it is to begin again, because what it read at the start has changed. */
async function run(config: NodeConfig, log: Logger, signals: Signals): Promise<'ended' | 'again'> {
  const rtnetlink = new Rtnetlink();
  const name = config.node ?? nodeNameOf(hostname());
  const interfaces = interfacesOf(config, rtnetlink);
  // The places are ours, and certificates good, before anything of the kernel is touched; answers come once there is
  // somebody to give them.
  const api = Promise.withResolvers<Api>();
  const listeners = await listenEverywhere(
    { fetch: async (...request) => (await api.promise).fetch(...request) },
    config,
    log,
  );
  const address = config.cluster.address ?? firstAddress(rtnetlink, interfaces[0]!);
  const trust = await NodeTrust.open({
    ...{ config, name, version: VERSION, address, log },
    store: await openStore(config.store, { clock: hostClock(), etcd: config.etcd }),
    api: { fetch: async (...request) => (await api.promise).fetch(...request) },
  });
  const { store } = trust;
  const sources = tunnelSources(rtnetlink, interfaces[0]!, config.tunnel);
  const registration = {
    name,
    roles: config.roles,
    tunnelSources: config.roles.includes('mux') ? Object.values(sources).map(formatTunnelSource) : [],
    version: VERSION,
    address,
  };
  const keptAs = (what: 'cluster' | 'membership') =>
    savedStateOf(config, what, (failure) => {
      if (failure === undefined) node.problems.solve(`saved ${what}`);
      else node.problems.arise(`saved ${what}`, failure);
    });
  const savedState = keptAs('cluster');
  await trust.checkName();
  const { secret, saved } = await begin(store, registration, savedState);
  const view = new ClusterView(store, saved?.state);

  const tell: Node['tell'] = (event) => node.tell(event);
  const interfaceName = (ifindex: number) => rtnetlink.link(ifindex)?.name;
  const place = (role: string) => ({
    pinDirectory: join(config.bpfDirectory, role),
    stateDirectory: config.stateDirectory,
  });
  const muxOptions = {
    hashKey: hashKeyFromSecret(secret),
    ...sources,
    slotCapacity: config.slotCapacity,
    askPort: config.cluster.askPort,
    flowTable: flowTableSizes(config.flowTable, {
      isShared: config.cluster.address !== undefined || !config.store.startsWith('sqlite='),
      memoryBytes: totalmem(),
    }),
    ...place('mux'),
  };
  if (config.roles.includes('mux') && MuxProgram.wouldLoseFlows(muxOptions)) {
    const lost = await awaitCopies(store, name, config.cluster.leaseMs);
    if (lost !== undefined) log.warn({ reason: lost.reason, remedy: lost.remedy }, lost.message);
  }
  const program = config.roles.includes('mux') ? await MuxProgram.open(muxOptions) : undefined;
  const nextHops = (onChange: (address: string, path: Path) => void) =>
    new NextHops({
      rtnetlink,
      onChange,
      onFailure: (error) => node.problems.arise('next hops', error),
      onSuccess: () => node.problems.solve('next hops'),
    });
  const filter = config.roles.includes('filter')
    ? await openFilterPart({
        ...{ config, hashKey: muxOptions.hashKey, place: place('filter'), interfaces },
        linkOf: (name) => rtnetlink.link(name),
        ...{ nextHops, tell, problems: () => node.problems, onFailure: (error) => node.pathsFailed(error) },
      })
    : undefined;
  const tunnelVersions = new Set([
    ...(sources.tunnelSource4 === undefined ? [] : [4 as const]),
    ...(sources.tunnelSource6 === undefined ? [] : [6 as const]),
  ]);
  const mux =
    program &&
    new MuxRole({
      program,
      tunnelVersions,
      nextHops,
      tell,
      onFailure: (error) => node.pathsFailed(error),
      interfaceName,
      nowMs: Date.now,
    });
  const backend = config.roles.includes('backend')
    ? new BackendRole(await DecapProgram.open({ guePort: config.guePort, ...place('backend') }))
    : undefined;
  const file = config.roles.includes('file')
    ? new FileRole({
        config: config.file ?? fileServiceSchema.parse({}),
        ...{ address, version: VERSION, tell, nowMs: Date.now },
        path: join(config.stateDirectory, 'filed.sock'),
        key: () => fileKey(store),
        namespace: () => namespace.known,
        problems: problemsOf(() => node),
      })
    : undefined;
  const parts = { store, problems: problemsOf(() => node), tell, nowMs: Date.now };
  const namespace = new NodeNamespace({ ...parts, service: file?.service });
  const health = new NodeHealth({
    state: () => view.state,
    muxes: () => (cluster ?? others)!.muxes.muxes,
    tell,
  });
  const node = new Node({
    health,
    name,
    version: VERSION,
    interfaces: programRoleOf(config.roles) === undefined ? [] : interfaces,
    xdpMode: config.xdpMode,
    store,
    storeName: describeStore(config.store),
    view,
    mux,
    backend,
    filter: filter?.role,
    file,
    namespace,
    tracking: () => tracking,
    trust,
    routes: () => routes,
    examine: (names, state, cluster) =>
      examine({ ...doctorQuestion(config, names, state), cluster, routes: routes?.view() }),
    interfaceName,
    nowMs: Date.now,
    log: (level, message, detail) => log[level](detail ?? {}, message),
  });
  const routes =
    program &&
    mux &&
    (await MuxRoutes.open({
      config: config.routes,
      leaseMs: config.cluster.leaseMs,
      program,
      mux,
      tunnelVersions,
      cluster: () => cluster,
      problems: node.problems,
      tell: (message) => node.tell({ kind: 'routes', message }),
    }));
  const part: ClusterPart | undefined =
    program && mux
      ? {
          role: 'mux',
          program: clusterProgramOf(program),
          tasks: flowTasksOf(program),
          apply: (version, self) => mux.applyVersion(version, self),
          isServing: () => mux.isAttached,
        }
      : filter?.part;
  const member = program ?? filter?.program;
  const savedMuxes = part && keptAs('membership');
  const wire = part && (await openWire(config, registration.address, node.problems));
  const cluster: MuxCluster | undefined =
    part &&
    wire &&
    new MuxCluster({
      ...config.cluster,
      name,
      address: wire.address,
      api: apiAddress(config, wire.address),
      store,
      saved: saved && savedMuxes && member && (await membershipIn(savedMuxes, member, log)),
      keep: savedMuxes && ((revision, entries) => savedMuxes.keep(revision, entries)),
      ...part,
      wire,
      observer: () => healthObserver(config.cluster.leaseMs),
      mayLeave: () => routes?.mayLeave() ?? true,
      problems: node.problems,
      onApplied: (version) => node.versionApplied(version),
      onApplyFailure: (error, version) => node.versionFailed(error, version),
      tell: (message) => node.tell({ kind: 'member', message }),
      log: (level, message, detail) => log[level](detail ?? {}, message),
    });
  if (saved !== undefined) node.problems.arise('start', saved.problem);
  view.onConnection((problem) => {
    node.storeConnection(problem);
    if (problem === undefined) node.problems.solve('start');
  });
  const agreement = new Agreement({
    store,
    view,
    node: registration,
    secret,
    isBehind: saved !== undefined,
    onOutcome: (error) => settle(node.problems, 'registration', error),
  });
  view.onChange((state, before) => {
    savedState?.keep(state.revision, view.entries);
    health.follow(state, before);
  });
  const stopping = new AbortController();
  const others =
    cluster === undefined
      ? followOnly(store, (problem) => settle(node.problems, 'muxes', problem))
      : undefined;
  const tracking = buildTracking({
    config,
    name,
    software: VERSION,
    store,
    view,
    followed: (cluster ?? others)!,
    program,
    filter: filter?.program,
    member,
    trust,
    explain: (request) => node.explain(request),
    tell,
    stopping: stopping.signal,
    health: () => health.facts(),
  });
  routes?.start();
  const progress = new ProgressWriter(store, () => Number(process.hrtime.bigint()) / 1e6);
  cluster?.leader.onOutcome((outcome) => progress.tell(outcome));
  // Before the first state: where the store does not give one, status says why.
  api.resolve(createApi(node, { log, stopping: stopping.signal, recognize: trust.recognize }));
  trust.start({ problems: node.problems, tell, nodes: () => node.nodes() });
  for (const { where } of listeners) log.info(`the API listens on ${where}`);
  const started = view.start().then(async () => {
    await node.start(cluster);
    if (cluster === undefined || stopping.signal.aborted) return;
    if (filter !== undefined) return checkOwn(health, cluster, wire?.address, config, node.problems);
    const addresses = ownAddresses(rtnetlink, interfaces[0]!);
    health.check({
      tunnel: new HealthTunnel({
        ports: PROBE_PORTS,
        addresses,
        sources: { 4: sources.tunnelSource4?.address, 6: sources.tunnelSource6?.address },
        makeWay: ({ packet: onPacket, gone: onGone }) =>
          new ProbeWay({
            rtnetlink,
            versions: ([4, 6] as const).filter((it) => addresses[it] !== undefined),
            onPacket,
            onGone,
          }),
        problems: node.problems,
      }),
      commands: config.health.commands,
      publish: (verdicts) => cluster.tellHealth(verdicts),
      problems: node.problems,
    });
  });
  void others?.start();
  namespace.view.onChange((it) => file?.become(it));
  void namespace.start().then(() => file?.become(namespace.view.namespace));
  void file?.start();
  if ((await Promise.race([started, signals.ended])) !== 'ended') {
    log.info(
      { node: name, roles: config.roles, interfaces, pid: process.pid, version: VERSION },
      'holdfastd runs',
    );
    sdNotify('READY=1');
  }
  judgeCertificates(listeners, node.problems);
  const judging = setInterval(() => judgeCertificates(listeners, node.problems), CERTIFICATE_CHECK_MS);
  signals.onHangup = () => reload(listeners, node.problems, log);
  signals.isWell = () => cluster?.isStepped ?? true;
  const outcome = await Promise.race([
    signals.ended,
    agreement.otherSecret.then((): 'again' => 'again'),
    tunnelSourceFound(config, interfaces, sources, rtnetlink, node.problems),
  ]);
  clearInterval(judging);
  signals.isWell = () => true;
  if (outcome === 'ended') {
    sdNotify('STOPPING=1');
    log.info('holdfastd ends; forwarding goes on');
  }
  stopping.abort();
  agreement.close();
  await Promise.all([...listeners, trust].map((it) => it.close()));
  health.close();
  await progress.close();
  await routes?.close();
  await node.close();
  await others?.close();
  await file?.close();
  await namespace.close();
  wire?.close();
  await view.close();
  await savedState?.close();
  await savedMuxes?.close();
  await store.close();
  rtnetlink.close();
  return outcome;
}

/** A filter checks the services of its own host, and asks nobody else about them. */
function checkOwn(
  health: NodeHealth,
  cluster: MuxCluster,
  server: string | undefined,
  config: NodeConfig,
  problems: Problems,
): void {
  if (server === undefined) return;
  health.check({
    tunnel: NO_TUNNEL,
    server,
    commands: config.health.commands,
    publish: (verdicts) => cluster.tellHealth(verdicts),
    problems,
  });
}

/** A store of this host is there when the host is; another may be away. */
function savedStateOf(
  config: NodeConfig,
  what: 'cluster' | 'membership',
  onWritten: (failure: Failure | undefined) => void,
): SavedStateFile | undefined {
  if (describeStore(config.store).kind !== 'etcd') return undefined;
  const store = `${config.store} ${config.etcd?.prefix ?? ''}`;
  return new SavedStateFile({ directory: config.stateDirectory, what, store, onWritten });
}

/** Without it the program goes on until its deadline, and the mux waits for the store. */
async function membershipIn(
  file: SavedStateFile,
  program: Pick<MuxProgram, 'self' | 'flowOrigin'>,
  log: Logger,
): Promise<SavedMembership | undefined> {
  try {
    const copy = file.read();
    const { id, incarnation, version } = program.self;
    const isAdopted = program.flowOrigin === 'adopted';
    return copy && (await savedMembership(copy.entries, { isAdopted, id, incarnation, version }));
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    log.warn({ reason: error.reason }, error.message);
    return undefined;
  }
}

/** Of a node that is built later. */
function problemsOf(node: () => Node): Pick<Problems, 'arise' | 'solve'> {
  return { arise: (...it) => node().problems.arise(...it), solve: (it) => node().problems.solve(it) };
}

function settle(problems: Problems, topic: string, problem: unknown): void {
  if (problem === undefined) problems.solve(topic);
  else problems.arise(topic, problem);
}

/** Resolves where a mux that had no address to send tunnels from when it began has one now: links may come late. */
function tunnelSourceFound(
  config: NodeConfig,
  interfaces: readonly string[],
  known: ReturnType<typeof tunnelSources>,
  rtnetlink: Rtnetlink,
  problems: Problems,
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

type Signals = { readonly ended: Promise<'ended'>; onHangup: () => Promise<void>; isWell: () => boolean };

/** What the process is told by signals; tells the service manager meanwhile that the event loop turns, and all is well. */
function followSignals(): Signals {
  const { promise, resolve } = Promise.withResolvers<'ended'>();
  const intervalMs = watchdogIntervalMs();
  const feed = () => {
    if (!signals.isWell()) return;
    try {
      sdNotify('WATCHDOG=1');
    } catch {
      // A service manager that does not take it now takes the next one.
    }
  };
  const watchdog = intervalMs === undefined ? undefined : setInterval(feed, intervalMs / 2);
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => resolve('ended'));
  const ended = promise.finally(() => clearInterval(watchdog));
  const signals: Signals = { ended, onHangup: async () => {}, isWell: () => true };
  process.on('SIGHUP', () => void signals.onHangup());
  return signals;
}

/** For an operator who has no daemon left to ask. */
async function detachAll(config: NodeConfig, rtnetlink = new Rtnetlink()): Promise<number> {
  // First: what is announced has to lead somewhere.
  let report = (await forgetRoutes(config.routes)) ? 'the service addresses are withdrawn\n' : '';
  for (const role of PROGRAM_ROLES) {
    const pins = new PinDirectory(join(config.bpfDirectory, role));
    for (const { ifindex, link } of pins.links()) {
      link.detach();
      link.close();
      pins.unpinLink(ifindex);
      report += `${role} is off ${rtnetlink.link(ifindex)?.name ?? `interface ${ifindex}, which is gone`}\n`;
    }
    pins.removeMaps();
  }
  rtnetlink.close();
  return print(report === '' ? 'nothing was attached\n' : report);
}

function interfacesOf(config: NodeConfig, rtnetlink: Rtnetlink): string[] {
  if (config.interface === undefined) return [defaultInterface(rtnetlink)];
  return typeof config.interface === 'string' ? [config.interface] : [...new Set(config.interface)];
}

function doctorQuestion(config: NodeConfig, interfaces: readonly string[], state: ClusterState) {
  return {
    interfaces: [...interfaces],
    roles: config.roles,
    serviceAddresses: [...state.services.values()].flatMap(({ addresses }) => addresses),
    xdpMode: config.xdpMode,
    bpfDirectory: config.bpfDirectory,
    backends: [...state.backends.values()].map(({ address, encap, mtuBytes }) => ({
      address,
      encap,
      ...(mtuBytes !== undefined && { mtuBytes }),
    })),
  };
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

/** As holdfast prints its errors; the log is JSON, but who starts a daemon that does not start reads this. */
function complain(error: unknown): number {
  if (!(error instanceof Failure)) {
    process.stderr.write(`holdfastd: ${error instanceof Error ? error.stack : String(error)}\n`);
    return FAILURES.internal.exit;
  }
  const { code, message, cause, remedy } = error.body;
  const lines = [
    `error:  ${message}`,
    ...(cause === undefined ? [] : [`cause:  ${cause.replaceAll('\n', '\n        ')}`]),
    ...(remedy === undefined ? [] : [`remedy: ${remedy}`]),
  ];
  process.stderr.write(`${lines.join('\n')}\n`);
  return FAILURES[code].exit;
}
