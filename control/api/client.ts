// Owns the client of the API: a method for each thing the API does, answers held to schema.ts, failures as Failure. The
// only way from the CLI to the daemon. Connections are client/exchange.ts.
//
// The schemas load while the daemon works: loading them takes longer than most answers.
import type { z } from 'zod';
import type { ApiRole } from '../config/api_roles.ts';
import type { NamespaceDocument, namespaceDocumentSchema } from '../config/namespace.ts';
import type { namespaceCommandSchema } from '../config/namespace_commands.ts';
import type {
  BackendPatch,
  backendSchema,
  Document,
  documentSchema,
  PoolPatch,
  poolSchema,
  ServicePatch,
  serviceSchema,
} from '../config/objects.ts';
import { Failure } from '../lib/failure.ts';
import { type Endpoint, nameOf } from './client/endpoint.ts';
import { type Answer, type Asked, Exchange, type Method, TIMEOUT_MS_DEFAULT } from './client/exchange.ts';
import { eventDataOf, linesOf } from './client/lines.ts';
import type {
  AddUserRequest,
  Affinities,
  AffinityExplanation,
  AffinityRelease,
  Attachment,
  AttachRequest,
  BackendView,
  CapturedPacketLine,
  Change,
  Changes,
  captureRequestSchema,
  DetachRequest,
  Explanation,
  explainRequestSchema,
  FileClient,
  FilesStats,
  Finding,
  FlowEntry,
  FlowReport,
  Flows,
  FlowsTop,
  Keys,
  Members,
  NamespaceChange,
  NamespaceState,
  NewToken,
  NewUser,
  NodeChange,
  NodeEvent,
  NodeView,
  PoolView,
  Renewed,
  ServiceView,
  Stats,
  Status,
  TopBy,
} from './schema.ts';

export type { Endpoint } from './client/endpoint.ts';

/** What users may leave out has its default on the server's side. */
export type ServiceInput = z.input<typeof serviceSchema>;
export type PoolInput = z.input<typeof poolSchema>;
export type BackendInput = z.input<typeof backendSchema>;
export type NamespaceInput = z.input<typeof namespaceDocumentSchema>;
export type NamespaceCommandInput = z.input<typeof namespaceCommandSchema>;
export type DocumentInput = z.input<typeof documentSchema>;
export type ExplainInput = z.input<typeof explainRequestSchema>;
export type CaptureInput = z.input<typeof captureRequestSchema>;

export type WriteOptions = { readonly dryRun?: boolean; readonly force?: boolean };

/** What to look for among flows; see GET /v1/flows. */
export type FlowsQuery = {
  readonly service?: string | undefined;
  readonly backend?: string | undefined;
  readonly pool?: string | undefined;
  readonly slot?: number | undefined;
  readonly state?: FlowEntry['state'] | undefined;
  readonly client?: string | undefined;
  readonly old?: boolean | undefined;
  readonly role?: 'owner' | 'backup' | undefined;
  readonly key?: 'client' | undefined;
  readonly limit?: number | undefined;
  readonly after?: string | undefined;
  readonly local?: boolean | undefined;
};

export type AffinitiesQuery = {
  readonly service?: string | undefined;
  readonly backend?: string | undefined;
  readonly client?: string | undefined;
  readonly limit?: number | undefined;
  readonly after?: string | undefined;
  readonly local?: boolean | undefined;
};

export type Collection = 'services' | 'pools' | 'backends' | 'nodes';

type Schemas = typeof import('./schema.ts') &
  typeof import('../config/objects.ts') &
  typeof import('../config/namespace.ts');
type Schema<T> = z.ZodType<T>;

const loadSchemas = async (): Promise<Schemas> => {
  const [answers, objects, namespace] = await Promise.all([
    import('./schema.ts'),
    import('../config/objects.ts'),
    import('../config/namespace.ts'),
  ]);
  return { ...answers, ...objects, ...namespace };
};

export class Client {
  readonly #exchange: Exchange;
  readonly #where: string;
  readonly #version: string;
  readonly #signal: AbortSignal | undefined;

  /** `version` is the caller's, to tell it from the daemon's. `signal` gives up whatever is under way. */
  constructor(
    endpoint: Endpoint,
    options: {
      version: string;
      timeoutMs?: number;
      connectTimeoutMs?: number;
      signal?: AbortSignal | undefined;
    },
  ) {
    this.#where = nameOf(endpoint);
    this.#version = options.version;
    this.#signal = options.signal;
    this.#exchange = new Exchange(endpoint, {
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS_DEFAULT,
      connectTimeoutMs: options.connectTimeoutMs,
      userAgent: `holdfast/${options.version}`,
    });
  }

  status = (): Promise<Status> => this.#ask((it) => it.statusSchema, 'GET', '/v1/status');
  stats = (): Promise<Stats> => this.#ask((it) => it.statsSchema, 'GET', '/v1/stats');

  services = (): Promise<ServiceView[]> => this.#items((it) => it.serviceViewSchema, 'GET', '/v1/services');
  service = (name: string): Promise<ServiceView> =>
    this.#ask((it) => it.serviceViewSchema, 'GET', path('services', name));
  addService = (service: ServiceInput, options: WriteOptions = {}): Promise<Change> =>
    this.#change('POST', '/v1/services', options, service);
  changeService = (name: string, patch: ServicePatch, options: WriteOptions = {}): Promise<Change> =>
    this.#change('PATCH', path('services', name), options, patch);
  removeService = (name: string, options: WriteOptions = {}): Promise<Change> =>
    this.#change('DELETE', path('services', name), options);

  pools = (): Promise<PoolView[]> => this.#items((it) => it.poolViewSchema, 'GET', '/v1/pools');
  pool = (name: string): Promise<PoolView> =>
    this.#ask((it) => it.poolViewSchema, 'GET', path('pools', name));
  addPool = (pool: PoolInput, options: WriteOptions = {}): Promise<Change> =>
    this.#change('POST', '/v1/pools', options, pool);
  changePool = (name: string, patch: PoolPatch, options: WriteOptions = {}): Promise<Change> =>
    this.#change('PATCH', path('pools', name), options, patch);
  removePool = (name: string, options: WriteOptions = {}): Promise<Change> =>
    this.#change('DELETE', path('pools', name), options);

  backends = (pool?: string): Promise<BackendView[]> =>
    this.#items((it) => it.backendViewSchema, 'GET', `/v1/backends${query({ pool })}`);
  backend = (pool: string, name: string): Promise<BackendView> =>
    this.#ask((it) => it.backendViewSchema, 'GET', path('backends', pool, name));
  addBackend = (backend: BackendInput, options: WriteOptions = {}): Promise<Change> =>
    this.#change('POST', '/v1/backends', options, backend);
  changeBackend = (
    pool: string,
    name: string,
    patch: BackendPatch,
    options: WriteOptions & { readonly deadlineMs?: number | undefined } = {},
  ): Promise<Change> => this.#change('PATCH', path('backends', pool, name), options, patch);
  removeBackend = (pool: string, name: string, options: WriteOptions = {}): Promise<Change> =>
    this.#change('DELETE', path('backends', pool, name), options);

  apply = (document: DocumentInput, options: WriteOptions = {}): Promise<Change> =>
    this.#change('POST', '/v1/apply', options, document);
  /** What applying it would do, and how slots would move. */
  plan = (document: DocumentInput, options: Pick<WriteOptions, 'force'> = {}): Promise<Change> =>
    this.#ask((it) => it.changeSchema, 'POST', `/v1/plan${writeQuery(options)}`, document);
  export = (): Promise<Document> => this.#ask((it) => it.documentSchema, 'GET', '/v1/export');

  nodes = (): Promise<NodeView[]> => this.#items((it) => it.nodeViewSchema, 'GET', '/v1/nodes');
  node = (name: string): Promise<NodeView> =>
    this.#ask((it) => it.nodeViewSchema, 'GET', path('nodes', name));
  drainNode = (name: string, options: WriteOptions & { undo?: boolean } = {}): Promise<NodeChange> =>
    this.#ask(
      (it) => it.nodeChangeSchema,
      'POST',
      `${path('nodes', name)}/drain${writeQuery(options)}`,
      options.undo ? { undo: true } : {},
    );
  removeNode = (name: string, options: WriteOptions = {}): Promise<NodeChange> =>
    this.#ask((it) => it.nodeChangeSchema, 'DELETE', `${path('nodes', name)}${writeQuery(options)}`);

  keys = (): Promise<Keys> => this.#ask((it) => it.keysSchema, 'GET', '/v1/keys');
  rotateKeys = (): Promise<Keys> => this.#ask((it) => it.keysSchema, 'POST', '/v1/keys/rotate', {});

  changes = (): Promise<Changes> => this.#ask((it) => it.changesSchema, 'GET', '/v1/changes');

  flows = (selection: FlowsQuery = {}): Promise<Flows> =>
    this.#ask((it) => it.flowsSchema, 'GET', `/v1/flows${query(selection)}`);
  topFlows = (selection: FlowsQuery & { by?: TopBy | undefined } = {}): Promise<FlowsTop> =>
    this.#ask((it) => it.flowsTopSchema, 'GET', `/v1/flows/top${query(selection)}`);
  /** As formatFlowName() writes it. */
  flow = (name: string, options: { local?: boolean } = {}): Promise<FlowReport> =>
    this.#ask((it) => it.flowReportSchema, 'GET', `${path('flows', name)}${query(options)}`);

  affinities = (selection: AffinitiesQuery = {}): Promise<Affinities> =>
    this.#ask((it) => it.affinitiesSchema, 'GET', `/v1/affinities${query(selection)}`);
  /** Of an address or a prefix. */
  affinity = (
    client: string,
    options: { service?: string | undefined; without?: string | undefined; local?: boolean } = {},
  ): Promise<AffinityExplanation> =>
    this.#ask((it) => it.affinityExplanationSchema, 'GET', `${path('affinities', client)}${query(options)}`);
  releaseAffinity = (
    client: string,
    options: WriteOptions & { service?: string | undefined; local?: boolean } = {},
  ): Promise<AffinityRelease> =>
    this.#ask((it) => it.affinityReleaseSchema, 'DELETE', `${path('affinities', client)}${query(options)}`);

  members = (): Promise<Members> => this.#ask((it) => it.membersSchema, 'GET', '/v1/cluster/members');
  initCluster = (): Promise<Members> => this.#trust('POST', 'init', {});
  joinCluster = (token: string): Promise<Members> => this.#trust('POST', 'join', { token });
  leaveCluster = (options: { force?: boolean } = {}): Promise<Members> =>
    this.#trust('POST', 'leave', options);
  rotateCluster = (what: 'certificates' | 'authority' | 'finish'): Promise<Members> =>
    this.#trust('POST', 'rotate', { what });
  createToken = (given: { roles?: readonly string[]; ttlMs?: number }): Promise<NewToken> =>
    this.#ask((it) => it.newTokenSchema, 'POST', '/v1/cluster/tokens', given);
  removeToken = (id: string): Promise<Members> => this.#trust('DELETE', `tokens/${encodeURIComponent(id)}`);
  addUser = (user: AddUserRequest): Promise<NewUser> =>
    this.#ask((it) => it.newUserSchema, 'POST', '/v1/cluster/users', user);
  setUser = (name: string, role: ApiRole): Promise<Members> =>
    this.#trust('PATCH', `users/${encodeURIComponent(name)}`, { role });
  removeUser = (name: string): Promise<Members> => this.#trust('DELETE', `users/${encodeURIComponent(name)}`);
  /** Of the node that asks. */
  renew = (given: { publicKey: string; addresses: readonly string[] }): Promise<Renewed> =>
    this.#ask((it) => it.renewedSchema, 'POST', '/v1/cluster/renew', given);

  namespace = (path?: string): Promise<NamespaceState> =>
    this.#ask((it) => it.namespaceSchema, 'GET', `/v1/namespace${query({ path })}`);
  changeNamespace = (
    command: NamespaceCommandInput,
    { dryRun }: Pick<WriteOptions, 'dryRun'> = {},
  ): Promise<NamespaceChange> =>
    this.#ask((it) => it.namespaceChangeSchema, 'POST', `/v1/namespace${query({ dryRun })}`, command);
  exportNamespace = (): Promise<NamespaceDocument> =>
    this.#ask((it) => it.namespaceDocumentSchema, 'GET', '/v1/namespace/export');
  importNamespace = (
    document: NamespaceInput,
    { dryRun }: Pick<WriteOptions, 'dryRun'> = {},
  ): Promise<NamespaceChange> =>
    this.#ask((it) => it.namespaceChangeSchema, 'POST', `/v1/namespace/import${query({ dryRun })}`, document);

  filesStats = (): Promise<FilesStats> => this.#ask((it) => it.filesStatsSchema, 'GET', '/v1/files/stats');
  fileClients = (): Promise<FileClient[]> =>
    this.#items((it) => it.fileClientSchema, 'GET', '/v1/files/clients');

  explain = (request: ExplainInput): Promise<Explanation> =>
    this.#ask((it) => it.explanationSchema, 'POST', '/v1/explain', request);
  attach = (request: AttachRequest = {}): Promise<Attachment[]> =>
    this.#items((it) => it.attachmentSchema, 'POST', '/v1/attach', request);
  detach = (request: DetachRequest = {}): Promise<Attachment[]> =>
    this.#items((it) => it.attachmentSchema, 'POST', '/v1/detach', request);
  doctor = (interfaceName?: string): Promise<Finding[]> =>
    this.#items((it) => it.findingSchema, 'GET', `/v1/doctor${query({ interface: interfaceName })}`);

  /** Prometheus text. */
  metrics = async (): Promise<string> => {
    const asked = this.#asked('GET', '/metrics', undefined, 'text/plain');
    const answer = await this.#exchange.answer(asked);
    if (answer.status !== 200) throw await this.#failureOf(answer, asked);
    return answer.text;
  };

  /** From now on, until the signal or the daemon ends it. */
  async *events(): AsyncGenerator<NodeEvent> {
    const asked = this.#asked('GET', '/v1/events', undefined, 'text/event-stream');
    const stream = await this.#stream(asked);
    const { eventSchema } = await loadSchemas();
    for await (const data of eventDataOf(linesOf(stream))) yield await this.#line(eventSchema, data, asked);
  }

  /** Packets as they come, until the request's limits, the signal or the daemon end it. */
  async *capture(request: CaptureInput): AsyncGenerator<CapturedPacketLine> {
    const { CAPTURE_TYPES, capturedPacketSchema } = await loadSchemas();
    const asked = this.#asked('POST', '/v1/capture', request, CAPTURE_TYPES.ndjson);
    const stream = await this.#stream(asked);
    for await (const line of linesOf(stream)) {
      if (line !== '') yield await this.#line(capturedPacketSchema, line, asked);
    }
  }

  /** The same as pcapng, cut anywhere. */
  async *captureFile(request: CaptureInput): AsyncGenerator<Uint8Array> {
    const { CAPTURE_TYPES } = await loadSchemas();
    yield* await this.#stream(this.#asked('POST', '/v1/capture', request, CAPTURE_TYPES.pcapng));
  }

  /** Names of objects, backends as `pool/name`. Without the schemas, which load for longer than a completion may take. */
  async names(collection: Collection): Promise<string[]> {
    const { text } = await this.#exchange.answer(this.#asked('GET', `/v1/${collection}`));
    const { items = [] } = JSON.parse(text) as { items?: { name?: unknown; pool?: unknown }[] };
    return items.map(({ name, pool }) => (collection === 'backends' ? `${pool}/${name}` : `${name}`));
  }

  /** Paths of what is in the namespace, or names of storages. Without the schemas, as above. */
  async namespaceNames(what: 'folders' | 'links' | 'entries' | 'storages'): Promise<string[]> {
    const { text } = await this.#exchange.answer(this.#asked('GET', '/v1/namespace'));
    const { entries = [], storages = [] } = JSON.parse(text) as {
      entries?: { kind?: unknown; path?: unknown }[];
      storages?: { name?: unknown }[];
    };
    if (what === 'storages') return storages.map(({ name }) => `${name}`);
    const wanted = entries.filter(({ kind }) => what === 'entries' || `${kind}s` === what);
    return wanted.map(({ path }) => `${path}`);
  }

  /** Of changes that are open. Without the schemas, as above. */
  async changeIds(): Promise<string[]> {
    const { text } = await this.#exchange.answer(this.#asked('GET', '/v1/changes'));
    const { open = [] } = JSON.parse(text) as { open?: { id?: unknown }[] };
    return open.map(({ id }) => `${id}`);
  }

  /** Without the schemas, as above. */
  async userNames(): Promise<string[]> {
    const { text } = await this.#exchange.answer(this.#asked('GET', '/v1/cluster/members'));
    const { users = [] } = JSON.parse(text) as { users?: { name?: unknown }[] };
    return users.map(({ name }) => `${name}`);
  }

  /** Of the packets that were counted, and the verdicts. Without the schemas, as above. */
  async reasonNames(): Promise<string[]> {
    const { text } = await this.#exchange.answer(this.#asked('GET', '/v1/stats'));
    const { packets = {}, reasons = {} } = JSON.parse(text) as Record<string, object | undefined>;
    return [...new Set([...Object.keys(packets), ...Object.keys(reasons)])];
  }

  #asked(method: Method, path: string, body?: unknown, accept?: string): Asked {
    return {
      method,
      path,
      body,
      signal: this.#signal,
      ...(accept === undefined ? {} : { accept }),
    };
  }

  async #change(method: Method, path: string, options: WriteOptions, body?: unknown): Promise<Change> {
    return await this.#ask((it) => it.changeSchema, method, `${path}${writeQuery(options)}`, body);
  }

  async #trust(method: Method, path: string, body?: unknown): Promise<Members> {
    return await this.#ask((it) => it.membersSchema, method, `/v1/cluster/${path}`, body);
  }

  async #items<T>(
    choose: (it: Schemas) => Schema<T>,
    method: Method,
    path: string,
    body?: unknown,
  ): Promise<T[]> {
    const { items } = await this.#ask((it) => it.itemsSchema(choose(it)), method, path, body);
    return items;
  }

  async #ask<T>(
    choose: (it: Schemas) => Schema<T>,
    method: Method,
    path: string,
    body?: unknown,
  ): Promise<T> {
    const asked = this.#asked(method, path, body);
    const answering = this.#exchange.answer(asked);
    const [answer, schemas] = await Promise.all([answering, loadSchemas()]);
    if (answer.status < 200 || answer.status > 299) throw await this.#failureOf(answer, asked);
    return await this.#line(choose(schemas), answer.text, asked);
  }

  async #stream(asked: Asked): Promise<AsyncGenerator<Uint8Array>> {
    const response = await this.#exchange.stream(asked);
    const chunks = this.#exchange.chunks(response, asked);
    const status = response.statusCode ?? 0;
    if (status === 200) return chunks;
    let text = '';
    for await (const line of linesOf(chunks)) text += line;
    throw await this.#failureOf({ status, text }, asked);
  }

  /** A stream that has begun can say what went wrong only in its last line. */
  async #line<T>(schema: Schema<T>, text: string, asked: Asked): Promise<T> {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw await this.#misunderstood(asked, `It is no JSON: ${(error as Error).message}.`);
    }
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const failure = await failureIn(value);
    if (failure !== undefined) throw failure;
    const { path = [], message = '' } = parsed.error.issues[0] ?? {};
    throw await this.#misunderstood(
      asked,
      `${path.length === 0 ? 'All of it' : path.join('.')}: ${message}.`,
    );
  }

  async #failureOf({ status, text }: Answer, asked: Asked): Promise<Failure> {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      value = undefined;
    }
    return (
      (await failureIn(value)) ??
      (await this.#misunderstood(asked, `It has HTTP status ${status}, and does not say why.`))
    );
  }

  /** Another version on one of the sides is the likely reason; so ask, in a way that every version understands. */
  async #misunderstood({ method, path }: Asked, reason: string): Promise<Failure> {
    const theirs = await this.#daemonVersion();
    return new Failure('internal', `The answer of ${this.#where} to ${method} ${path} makes no sense here.`, {
      reason,
      remedy:
        theirs === undefined
          ? 'Check that this is the address of holdfastd.'
          : theirs === this.#version
            ? `Report it: holdfast and holdfastd are both of version ${theirs}.`
            : `Use a holdfast of the daemon's version, which is ${theirs}; this one is ${this.#version}.`,
    });
  }

  async #daemonVersion(): Promise<string | undefined> {
    try {
      const { text } = await this.#exchange.answer(this.#asked('GET', '/v1/status'));
      const { version } = JSON.parse(text) as { version?: unknown };
      return typeof version === 'string' ? version : undefined;
    } catch {
      return undefined;
    }
  }
}

async function failureIn(value: unknown): Promise<Failure | undefined> {
  const { failureSchema } = await loadSchemas();
  const parsed = failureSchema.safeParse(value);
  if (!parsed.success) return undefined;
  const { code, message, cause, remedy } = parsed.data;
  return new Failure(code, message, {
    ...(cause === undefined ? {} : { reason: cause }),
    ...(remedy === undefined ? {} : { remedy }),
  });
}

function path(collection: Collection | 'flows' | 'affinities', ...names: string[]): string {
  return `/v1/${collection}/${names.map(encodeURIComponent).join('/')}`;
}

function writeQuery({
  dryRun,
  force,
  deadlineMs,
}: WriteOptions & { deadlineMs?: number | undefined }): string {
  return query({ dryRun, force, deadlineMs });
}

/** What is undefined is left out, and so are flags that are not set: every flag is off by default. */
function query(values: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const given = Object.entries(values)
    .filter(([, value]) => value !== undefined && value !== false)
    .map(([name, value]): [string, string] => [name, String(value)]);
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`;
}
