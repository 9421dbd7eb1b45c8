// Owns the routes whose answers go on: events, and captures. Their pace and their end are stream.ts.
import { type OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { accepts } from 'hono/accepts';
import { Failure } from '../../lib/failure.ts';
import { CapturedPacket, CaptureRequest, NodeEvent } from '../components.ts';
import { type EventLog, eventStream } from '../events.ts';
import { RequestFailure } from '../failures.ts';
import type { NodePort, CapturedPacket as Packet } from '../node_port.ts';
import {
  type ApiEnv,
  createRoute,
  failures,
  jsonBody,
  noQuery,
  readFailures,
  withBody,
} from '../operation.ts';
import { PcapngWriter } from '../pcapng.ts';
import { CAPTURE_TYPES, type CapturedPacketLine } from '../schema.ts';
import { streamOf } from '../stream.ts';

/** Clients that listen to events at the same time. */
export const EVENT_CLIENTS_MAX = 64;

export type StreamSettings = {
  readonly events: EventLog;
  readonly stopping: AbortSignal;
  readonly keepAliveMs: number;
  readonly stallMs: number;
  readonly nowMs: () => number;
  /** Logs why a stream broke off, and says it as a client may know it. */
  readonly report: (error: unknown, operation: string) => Failure;
};

const tags = ['observation'];

const events = createRoute({
  method: 'get',
  path: '/v1/events',
  operationId: 'streamEvents',
  summary: 'What happens on this node, from now on, as server-sent events',
  description:
    'Each event has an id and, as its data, a NodeEvent. A client that comes back with `Last-Event-ID` gets what it has ' +
    'not seen. One that is too slow, or was away for too long, gets a last event of kind `missed`, and the stream ends: ' +
    'it must read anew what it knows. Comments keep the connection alive while nothing happens.',
  tags,
  request: {
    query: noQuery,
    headers: z.object({
      'last-event-id': z.string().max(100).optional().describe('Of the last event that was read'),
    }),
  },
  responses: {
    200: { description: 'The events', content: { 'text/event-stream': { schema: NodeEvent } } },
    ...failures('limit', ...readFailures),
  },
});

const capture = createRoute({
  method: 'post',
  path: '/v1/capture',
  operationId: 'capture',
  summary: 'Copies of packets as they leave the program, with the reason',
  description:
    `\`${CAPTURE_TYPES.pcapng}\` with the reason as comment of each packet, unless \`Accept\` wants ` +
    `\`${CAPTURE_TYPES.ndjson}\`: a CapturedPacket a line, and a Failure as the last where the capture breaks off. ` +
    'Forwarding costs more while a capture runs; it ends when the client goes.',
  tags,
  middleware: withBody,
  request: { query: noQuery, body: jsonBody(CaptureRequest) },
  responses: {
    200: {
      description: 'The packets',
      content: {
        [CAPTURE_TYPES.pcapng]: { schema: z.string().openapi({ format: 'binary' }) },
        [CAPTURE_TYPES.ndjson]: { schema: CapturedPacket },
      },
    },
    ...failures(
      'notAcceptable',
      'bodyTooLarge',
      'unsupportedMediaType',
      'conflict',
      'limit',
      'unsupported',
      ...readFailures,
    ),
  },
});

export function addStreamRoutes(app: OpenAPIHono<ApiEnv>, node: NodePort, settings: StreamSettings): void {
  let clients = 0;

  app.openapi(events, (c) => {
    const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-store' };
    // hono runs GET for HEAD and forgets the body, which nobody would ever read or end.
    if (c.req.method === 'HEAD') return new Response(null, { headers });
    if (clients >= EVENT_CLIENTS_MAX) {
      throw new Failure('limit', `${EVENT_CLIENTS_MAX} clients listen to events already.`, {
        remedy: 'Close some of them.',
      });
    }
    clients++;
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, settings.stopping]);
    const source = eventStream(settings.events, c.req.valid('header')['last-event-id'], {
      ...settings,
      signal,
    });
    const stream = open(c, source, stop, settings, () => {
      clients--;
    });
    return new Response(stream, { headers });
  });

  app.openapi(capture, async (c) => {
    const request = c.req.valid('json');
    const type = acceptedType(c);
    const stop = new AbortController();
    const batches = await node.capture(request, AbortSignal.any([stop.signal, settings.stopping]));
    const names = new Map(node.status().attachments.map((it) => [it.ifindex, it.interface]));
    const nameOf = (ifindex: number) => names.get(ifindex);
    const source =
      type === CAPTURE_TYPES.ndjson
        ? linesOf(batches, nameOf, (error) => settings.report(error, 'capture'))
        : pcapngOf(batches, nameOf, `holdfastd ${node.status().version}`);
    return new Response(
      open(c, source, stop, settings, () => {}),
      {
        headers: { 'content-type': type, 'cache-control': 'no-store' },
      },
    );
  });
}

function open(
  c: Context<ApiEnv>,
  source: AsyncGenerator<string | Uint8Array>,
  stop: AbortController,
  { stallMs, report }: StreamSettings,
  onEnd: () => void,
): ReadableStream<Uint8Array> {
  const { outgoing } = c.env;
  return streamOf(source, {
    stop,
    stallMs,
    cut: outgoing && (() => outgoing.destroy()),
    onEnd: (end, error) => {
      onEnd();
      if (end === 'failed') report(error, c.get('operation'));
      if (end === 'stalled') report(stalled(stallMs), c.get('operation'));
    },
  });
}

function stalled(stallMs: number): Failure {
  return new Failure(
    'timeout',
    `A client took nothing of a stream for ${stallMs / 1_000} s and was cut off.`,
  );
}

function acceptedType(c: Context): string {
  const { pcapng, ndjson } = CAPTURE_TYPES;
  const header = c.req.header('accept');
  if (header === undefined) return pcapng;
  const type = accepts(c, { header: 'Accept', supports: [pcapng, ndjson], default: '' });
  if (type !== '') return type;
  if (/(?:^|,)\s*\*\/\*/.test(header)) return pcapng;
  throw new RequestFailure('notAcceptable', 'A capture cannot be answered in the types that Accept names.', {
    reason: `There are ${pcapng} and ${ndjson}.`,
    remedy: 'Name one of them.',
  });
}

type Batches = AsyncIterable<readonly Packet[]>;
type NameOf = (ifindex: number) => string | undefined;

async function* pcapngOf(
  batches: Batches,
  nameOf: NameOf,
  application: string,
): AsyncGenerator<string | Uint8Array> {
  const writer = new PcapngWriter(nameOf);
  yield writer.header(application);
  for await (const packets of batches) {
    if (packets.length > 0) yield writer.packets(packets);
  }
}

/** JSON lines can say why the capture broke off. */
async function* linesOf(
  batches: Batches,
  nameOf: NameOf,
  report: (error: unknown) => Failure,
): AsyncGenerator<string | Uint8Array> {
  try {
    for await (const packets of batches) {
      if (packets.length > 0) yield packets.map((packet) => `${lineOf(packet, nameOf)}\n`).join('');
    }
  } catch (error) {
    yield `${JSON.stringify(report(error).body)}\n`;
  }
}

function lineOf({ atNs, reason, ifindex, lengthBytes, bytes, lost }: Packet, nameOf: NameOf): string {
  const name = nameOf(ifindex);
  const line: CapturedPacketLine = {
    // A number of milliseconds has room for microseconds, and no more.
    atMs: Number(atNs / 1_000n) / 1_000,
    reason,
    ifindex,
    ...(name === undefined ? {} : { interface: name }),
    lengthBytes,
    frame: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex'),
    ...(lost === undefined ? {} : { lost }),
  };
  return JSON.stringify(line);
}
