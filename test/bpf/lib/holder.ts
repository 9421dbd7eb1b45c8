// A process that holds a mux or a backend's program, to be killed: calls come from its parent (held.ts), results go
// back. Also copied into trees of other versions, whose control/ it then imports.
import { DecapProgram } from '../../../control/dataplane/decap.ts';
import { MuxProgram } from '../../../control/dataplane/mux.ts';
import type { DecapCalls, MuxCalls, Reply, Request } from './held.ts';

let mux: MuxProgram | undefined;
let decap: DecapProgram | undefined;

const muxCalls: MuxCalls = {
  async openMux(options) {
    mux = await MuxProgram.open(options);
    return { origin: mux.origin };
  },
  apply: (desired) => mux!.apply(desired),
  setPaths: (configs) => mux!.setPaths(configs),
  attach: async (options) => mux!.attach(options),
  detach: async (name) => mux!.detach(name),
  attachments: async () => mux!.attachments(),
  counters: async () => mux!.counters(),
  explain: async (frame) => mux!.explain(frame),
  run: async (frames) =>
    frames.map((data) => {
      const { retval, dataOut } = mux!.program.testRun({ data });
      return { retval, output: dataOut! };
    }),
  startCapture: async (filter) => mux!.startCapture(filter),
  stopCapture: async () => mux!.stopCapture(),
  program: async () => {
    const { id, tag } = mux!.program.info();
    return { id, tag };
  },
  close: async () => mux!.close(),
};

const decapCalls: DecapCalls = {
  async openDecap(options) {
    decap = await DecapProgram.open(options);
    return { origin: decap.origin };
  },
  applyDecap: (desired) => decap!.apply(desired),
  attachDecap: async (options) => decap!.attach(options),
  countersDecap: async () => decap!.counters(),
  explainDecap: async (frame) => decap!.explain(frame),
};

const calls = { ...muxCalls, ...decapCalls } as Record<string, (argument: unknown) => Promise<unknown>>;

process.on('message', async ({ id, name, argument }: Request) => {
  let reply: Reply;
  try {
    reply = { id, value: await calls[name]!(argument) };
  } catch (error) {
    const { message, code, reason, remedy, stack } = error as Error & Record<string, string>;
    reply = { id, error: { message, code, reason, remedy, stack } as Reply['error'] & object };
  }
  process.send!(reply);
});
process.on('disconnect', () => process.exit());
process.send!({ id: 0, value: undefined } satisfies Reply);
