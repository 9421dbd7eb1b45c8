// Owns the role file of a node: its server process, what it is given, what its status says of it, and what the API tells of
// clients and requests.
import type { FilesPort } from '../../api/files_port.ts';
import type { FileClient, FilesStats, Finding, NodeEvent } from '../../api/schema.ts';
import type { FileServiceConfig } from '../../config/file_service.ts';
import type { Namespace } from '../../file/namespace/document.ts';
import type { FileConfiguration, FileServerState } from '../../file/server/messages.ts';
import { Failure, type FailureBody } from '../../lib/failure.ts';
import { clientsOf, statsOf } from './report.ts';
import { ServerProcess } from './server_process.ts';

export type FileRoleOptions = {
  readonly config: FileServiceConfig;
  /** Of this node, where the service is not bound to one. */
  readonly address: string | undefined;
  readonly version: string;
  /** Of the socket of its process. */
  readonly path: string;
  /** What handles are signed with. */
  readonly key: () => Promise<Uint8Array>;
  /** Undefined: it is not known yet. */
  readonly namespace: () => Namespace | undefined;
  readonly problems: { arise(topic: string, error: unknown): void; solve(topic: string): void };
  readonly tell: (event: Omit<NodeEvent, 'atMs'>) => void;
  readonly nowMs: () => number;
};

const TOPIC = 'file server';
const CHECK = 'file-service';
const KEY_TOPIC = 'file key';
const KEY_RETRY_MS = 1_000;

export class FileRole implements FilesPort {
  readonly role = 'file';
  readonly service: { readonly address: string; readonly port: number } | undefined;
  readonly #options: FileRoleOptions;
  #process: ServerProcess | undefined;
  #state: FileServerState | undefined;
  /** Why it does not run. */
  #problem: Failure | undefined;
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: FileRoleOptions) {
    this.#options = options;
    const { address: own, port } = options.config;
    const at = addressesOf(own)[0] ?? options.address;
    this.service = at === undefined ? undefined : { address: at, port };
  }

  /** Serves from when the key is known, however long the store is away. */
  async start(): Promise<void> {
    const { key, problems } = this.#options;
    try {
      const bytes = await key();
      problems.solve(KEY_TOPIC);
      if (!this.#isClosed) this.#run(bytes);
    } catch (error) {
      problems.arise(KEY_TOPIC, error);
      if (!this.#isClosed) this.#retry = setTimeout(() => void this.start(), KEY_RETRY_MS);
    }
  }

  /** What clients see has changed, or is known now. */
  become(namespace: Namespace): void {
    this.#process?.become(namespace);
  }

  /** Lets go of it: clients are served on for a while. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    await this.#process?.close();
  }

  /** What is wrong with it now, beside what is told to `problems`. */
  problems(): readonly FailureBody[] {
    return this.#process?.pid === undefined ? [] : (this.#state?.problems ?? []);
  }

  status() {
    const pid = this.#process?.pid;
    const { listening, storages, revision } = this.#state ?? NOTHING;
    return {
      ...(pid !== undefined && { pid }),
      listening: pid === undefined ? [] : [...listening],
      revision,
      storages: storages.map((it) => ({ ...it })),
    };
  }

  findings(): Finding[] {
    const wrong = [...(this.#problem === undefined ? [] : [this.#problem.body]), ...this.problems()];
    const { listening, pid } = this.status();
    if (wrong.length === 0 && pid !== undefined)
      return [{ check: CHECK, severity: 'ok', message: `files are served at ${listening.join(', ')}` }];
    return wrong.map(({ message, cause, remedy }) => ({
      check: CHECK,
      severity: 'error',
      message: cause === undefined ? message : `${message} ${cause}`,
      ...(remedy !== undefined && { cure: remedy }),
    }));
  }

  async stats(): Promise<FilesStats> {
    return statsOf(await this.#needProcess().report(), this.#options);
  }

  async clients(): Promise<FileClient[]> {
    return clientsOf(await this.#needProcess().report());
  }

  #run(key: Uint8Array): void {
    const { config, version, path, namespace, problems, tell } = this.#options;
    const configuration: FileConfiguration = {
      version,
      addresses: addressesOf(config.address),
      port: config.port,
      portmapper: config.portmapper,
      storages: config.storages,
      key: Buffer.from(key).toString('hex'),
      slowRequestMs: config.slowRequestMs,
    };
    this.#process = new ServerProcess({
      path,
      configuration,
      namespace,
      onState: (state) => {
        this.#tellProblems(state);
        this.#state = state;
      },
      onProblem: (problem) => {
        this.#problem = problem;
        if (problem === undefined) problems.solve(TOPIC);
        else problems.arise(TOPIC, problem);
      },
      tell: (message) => tell({ kind: 'files', message }),
    });
    this.#process.start();
  }

  #tellProblems({ problems }: FileServerState): void {
    const before = new Set(this.#state?.problems.map(({ message }) => message));
    const now = new Set(problems.map(({ message }) => message));
    for (const message of now) if (!before.has(message)) this.#options.tell({ kind: 'problem', message });
    for (const message of before) if (!now.has(message)) this.#options.tell({ kind: 'solved', message });
  }

  #needProcess(): ServerProcess {
    if (this.#process !== undefined) return this.#process;
    throw new Failure('unavailable', 'the file server of this node does not run yet', {
      reason: 'the key of the file service has not been read from the store',
      remedy: 'see holdfast status',
    });
  }
}

const NOTHING = { listening: [], storages: [], revision: 0 };

/** Empty: all of the host. */
function addressesOf(address: FileServiceConfig['address']): readonly string[] {
  if (address === undefined) return [];
  return typeof address === 'string' ? [address] : address;
}

/** Of a node without the role. */
export const NO_FILES: FilesPort = { stats: refuse, clients: refuse };

async function refuse(): Promise<never> {
  throw new Failure('unsupported', 'this node does not serve files', {
    reason: 'it has no role file',
    remedy: 'ask a node that has it; see holdfast nodes list',
  });
}
