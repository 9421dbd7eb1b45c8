// Owns running the program `flows`: a request and its answer are one page, which a test run takes and gives back. What
// is asked of it and what the answers mean is flow_table.ts's.
import type { Program } from 'libbpf-ts';
import type { ClockSample } from './clock.ts';
import {
  askHeaderCodec,
  FlowsCommand,
  type FlowsRequest,
  flowMessageEntryCodec,
  flowsMessageCodec,
  flowsPageCodec,
  flowsRequestCodec,
  Limit,
} from './generated/layout.ts';

export type FlowsAnswer = {
  readonly request: FlowsRequest;
  /** The page as the program left it. */
  readonly page: DataView<ArrayBuffer>;
};

const { sizeBytes: REQUEST_BYTES } = flowsRequestCodec;
const { sizeBytes: MESSAGE_BYTES } = flowsMessageCodec;
const { sizeBytes: HEADER_BYTES } = askHeaderCodec;
const { sizeBytes: ENTRY_BYTES } = flowMessageEntryCodec;
const EMPTY_REQUEST = flowsRequestCodec.read(new DataView(new ArrayBuffer(REQUEST_BYTES)), 0);

export class FlowProgram {
  readonly #program: Program;

  constructor(program: Program) {
    this.#program = program;
  }

  /** @throws Error where the program refuses: a request that cannot be. */
  run(request: Partial<FlowsRequest>): FlowsAnswer {
    const data = new Uint8Array(flowsPageCodec.sizeBytes);
    flowsRequestCodec.write(new DataView(data.buffer), 0, { ...EMPTY_REQUEST, ...request });
    const out = this.#program.testRun({ data, dataOutSize: data.byteLength }).dataOut!;
    const page = new DataView(out.slice().buffer);
    const answer = flowsRequestCodec.read(page, 0);
    if (answer.done !== 1) throw new Error(`the program flows refused command ${request.command}`);
    return { request: answer, page };
  }

  sample(): ClockSample {
    const { request } = this.run({ command: FlowsCommand.FLOWS_COMMAND_CLOCK });
    return { ns: request.now_ns, jiffies: request.jiffies };
  }
}

/** Where entry `index` of all of an answer stands in its page. */
export function entryOffset(index: number): number {
  const message = Math.floor(index / Limit.LIMIT_FLOW_MESSAGE_ENTRIES);
  const entry = index % Limit.LIMIT_FLOW_MESSAGE_ENTRIES;
  return REQUEST_BYTES + message * MESSAGE_BYTES + HEADER_BYTES + entry * ENTRY_BYTES;
}

/** The header of a message alone. */
export function headerOf({ page }: FlowsAnswer): Uint8Array<ArrayBuffer> {
  return new Uint8Array(page.buffer, REQUEST_BYTES, HEADER_BYTES).slice();
}

/** The messages of an answer, as they go behind UDP. */
export function messagesOf({ request, page }: FlowsAnswer): Uint8Array<ArrayBuffer>[] {
  const messages: Uint8Array<ArrayBuffer>[] = [];
  for (let left = request.entries; left > 0; left -= Limit.LIMIT_FLOW_MESSAGE_ENTRIES) {
    const entries = Math.min(left, Limit.LIMIT_FLOW_MESSAGE_ENTRIES);
    const offset = REQUEST_BYTES + messages.length * MESSAGE_BYTES;
    messages.push(new Uint8Array(page.buffer, offset, HEADER_BYTES + entries * ENTRY_BYTES).slice());
  }
  return messages;
}
