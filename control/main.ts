// holdfastd: the composition root, which alone builds real stores, sockets, clocks and programs, and connects them.
// What the parts do is theirs.
import { mkdirSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Rtnetlink, sdNotify, watchdogIntervalMs } from '@holdfast/linux';
import { pino } from 'pino';
import { listen } from './api/listen.ts';
import { createApi } from './api/server.ts';
import { hashSecret, registerNode } from './cluster/registry.ts';
import { ClusterView } from './cluster/view.ts';
import { NODE_CONFIG_PATH, type NodeConfig } from './config/node.ts';
import { hashKeyFromSecret } from './dataplane/hash.ts';
import { examine } from './doctor/facts.ts';
import { readNodeConfig } from './io/config_file.ts';
import { FAILURES, Failure } from './lib/failure.ts';
import { BackendRole } from './node/backend_role.ts';
import { detachAll } from './node/detach.ts';
import { MuxRole } from './node/mux_role.ts';
import { Node } from './node/node.ts';
import { defaultInterface, formatTunnelSource, tunnelSources } from './route/interface.ts';
import { openStore } from './store/open.ts';

const USAGE = `holdfastd: load balances, and answers the API of this node.

  holdfastd [--config FILE]           run (default ${NODE_CONFIG_PATH})
  holdfastd --check [--config FILE]   say what is wrong with the configuration, and end
  holdfastd --detach [--config FILE]  take everything off that a daemon left attached, and end
  holdfastd --version

SIGTERM ends the daemon and leaves forwarding on; holdfast detach takes it off.
SIGHUP reads the API's certificates again. Logs are JSON lines on standard error.
`;
