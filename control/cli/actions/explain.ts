// Owns `holdfast explain`.

import { open } from 'node:fs/promises';
import type { ExplainInput } from '../../api/client.ts';
import { type Explanation, explainRequestSchema } from '../../api/schema.ts';
import { Failure } from '../../lib/failure.ts';
import { checkGiven } from '../check_given.ts';
import { fileFailure } from '../files.ts';
import { counted } from '../format.ts';
import type { Screen } from '../screen.ts';
import type { Session } from '../session.ts';
import { UsageError } from '../usage_error.ts';
import { verdictStyle } from '../verdict.ts';
import { wrapped } from '../wrap.ts';

type ExplainGiven = {
  readonly flow: readonly string[];
  readonly syn: boolean;
  readonly length: number | undefined;
  readonly frame: string | undefined;
  readonly pcap: string | undefined;
  readonly packet: number | undefined;
  readonly interface: string | undefined;
};

export async function explain(session: Session, given: ExplainGiven): Promise<void> {
  const what = await requestOf(session, given);
  const where = given.interface === undefined ? {} : { interface: given.interface };
  const found = await (await session.client()).explain({ ...what, ...where });
  if (session.json) session.printJson(found);
  else session.out.print(explanationText(session.out, found));
}

async function requestOf(session: Session, given: ExplainGiven): Promise<ExplainInput> {
  const ways = [given.flow.length > 0, given.frame !== undefined, given.pcap !== undefined];
  if (ways.filter(Boolean).length !== 1) {
    throw new UsageError(
      ways.some(Boolean) ? 'These are several packets.' : 'There is no packet to explain.',
      {
        remedy: 'Give one: a flow such as tcp 192.0.2.7:4242 198.18.0.10:80, --frame or --pcap.',
      },
    );
  }
  if (given.packet !== undefined && given.pcap === undefined) throw new UsageError('--packet needs --pcap.');
  if (given.flow.length > 0) return { flow: await flowOf(given) };
  if (given.syn || given.length !== undefined) {
    throw new UsageError(`${given.syn ? '--syn' : '--length'} is about a flow, and this is a frame.`);
  }
  if (given.frame !== undefined) return { frame: hexOf(given.frame) };
  return { frame: await frameOfFile(session, given.pcap!, given.packet ?? 1) };
}

async function flowOf({ flow: words, syn, length }: ExplainGiven) {
  const { parseFlow } = await import('../flow.ts');
  const flow = parseFlow(words);
  checkGiven({ length }, { length: explainRequestSchema.options[0].shape.flow.shape.lengthBytes });
  if (syn && flow.protocol !== 'tcp') throw new UsageError('--syn is about TCP.');
  return { ...flow, ...(syn ? { syn } : {}), ...(length === undefined ? {} : { lengthBytes: length }) };
}

/** As hex dumps have it: with spaces, colons or nothing in between. */
function hexOf(text: string): string {
  const digits = text.replace(/[\s:]/g, '').replace(/^0x/i, '');
  if (!/^(?:[0-9a-f]{2})+$/i.test(digits)) {
    throw new UsageError('--frame is not hexadecimal.', { remedy: 'Write two digits for each byte.' });
  }
  return digits;
}

async function frameOfFile(session: Session, file: string, wanted: number): Promise<string> {
  const { frameOf, packetsOf } = await import('../packet_file.ts');
  if (!Number.isInteger(wanted) || wanted < 1) throw new UsageError('--packet counts from 1.');
  const bytes = await readFileBounded(file);
  let seen = 0;
  for (const packet of packetsOf(bytes, file)) {
    if (++seen < wanted) continue;
    const frame = frameOf(packet);
    if (frame.missingBytes > 0) {
      session.remark(
        `${counted(frame.missingBytes, 'byte')} of packet ${wanted} were not captured and are taken to be 0`,
      );
    }
    return Buffer.from(frame.bytes).toString('hex');
  }
  throw new Failure('invalid', `${file} has no packet ${wanted}.`, {
    reason: `It has ${counted(seen, 'packet')}.`,
  });
}

async function readFileBounded(file: string): Promise<Uint8Array> {
  const { PACKET_FILE_BYTES_MAX } = await import('../packet_file.ts');
  let handle: Awaited<ReturnType<typeof open>> | undefined;
  try {
    handle = await open(file);
    const { size } = await handle.stat();
    if (size > PACKET_FILE_BYTES_MAX) {
      throw new Failure('limit', `${file} is longer than ${PACKET_FILE_BYTES_MAX} bytes.`, {
        remedy: 'Take the packet out with tcpdump -r FILE -w SMALLER FILTER',
      });
    }
    return await handle.readFile();
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw fileFailure(`read ${file}`, cause);
  } finally {
    await handle?.close();
  }
}

/** The outcome stands by itself in the last line, and is not repeated where it is a step as well. */
export function explanationText(screen: Screen, it: Explanation): string {
  const steps = it.steps.filter((step) => !step.startsWith(`${it.reason}:`));
  const width = String(steps.length).length;
  const lines = steps.map((step, index) => {
    const number = screen.paint('dim', String(index + 1).padStart(width));
    return `${number}  ${wrapped(step, width + 2, screen.columns)}`;
  });
  // The first word of a reason is its verdict.
  const where = it.verdict === 'FORWARD' && it.backend !== undefined ? ` to ${it.backend}` : '';
  const verdict = `${screen.paint(verdictStyle(it.reason), it.reason)}${where}  ${it.meaning}`;
  return [lines.join('\n'), verdict].filter((part) => part !== '').join('\n\n');
}
