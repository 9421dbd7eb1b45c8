// Owns `holdfast capture`.

import { type FileHandle, open } from 'node:fs/promises';
import type { CaptureInput, Client } from '../../api/client.ts';
import { type CapturedPacketLine, captureRequestSchema } from '../../api/schema.ts';
import { PORTS_DEFAULT } from '../../config/node.ts';
import { backendSchema } from '../../config/objects.ts';
import { Failure } from '../../lib/failure.ts';
import { checkGiven } from '../check_given.ts';
import { fileFailure } from '../files.ts';
import { byteCount, count, counted, timeWithMicroseconds } from '../format.ts';
import { describeFrame } from '../packet_words.ts';
import { packetOf, wholeBlocks } from '../pcapng.ts';
import type { Screen } from '../screen.ts';
import type { Session } from '../session.ts';
import { UsageError } from '../usage_error.ts';
import { verdictStyle } from '../verdict.ts';
import { defined } from './objects.ts';

type CaptureGiven = {
  readonly write: string | undefined;
  readonly reason: readonly string[];
  readonly client: string | undefined;
  readonly clientPort: number | undefined;
  readonly address: string | undefined;
  readonly port: number | undefined;
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'icmp6' | undefined;
  readonly seconds: number | undefined;
  readonly count: number | undefined;
};

const { clientPort, port, seconds, packets } = captureRequestSchema.shape;
const { address } = backendSchema.shape;
const SCHEMAS = { client: address, clientPort, address, port, seconds, count: packets };

export async function capture(session: Session, given: CaptureGiven): Promise<void> {
  checkGiven(given, SCHEMAS);
  const request: CaptureInput = {
    ...(given.reason.length === 0 ? {} : { reasons: [...given.reason] }),
    ...defined({
      client: given.client,
      clientPort: given.clientPort,
      address: given.address,
      port: given.port,
      protocol: given.protocol,
      seconds: given.seconds,
      packets: given.count,
    }),
  };
  if (given.write === '-' && session.json) {
    throw new UsageError('--write - and --json both want standard output.', { remedy: 'Give one of them.' });
  }
  if (given.write === '-' && session.out.isTerminal) {
    throw new UsageError('pcapng is not for a terminal.', {
      remedy: 'Pipe it: holdfast capture -w - | tcpdump -nr -; or leave -w out.',
    });
  }
  const client = await session.client();
  if (session.err.isTerminal && !session.json) {
    const limits = captureRequestSchema.parse(request);
    session.remark(`for ${limits.seconds} s or ${counted(limits.packets, 'packet')}; Ctrl-C ends it`);
  }
  if (given.write === undefined) await show(session, client, request);
  else if (given.write === '-') await pipe(session, client, request);
  else await save(session, client, request, given.write);
}

async function show(session: Session, client: Client, request: CaptureInput): Promise<void> {
  let packets = 0;
  let lost = 0;
  for await (const packet of client.capture(request)) {
    packets++;
    lost += packet.lost ?? 0;
    if (session.json) session.printJsonLine(packet);
    else session.out.print(packetLine(session.out, packet));
  }
  if (!session.json) {
    session.remark(`${counted(packets, 'packet')}${lost === 0 ? '' : `; ${count(lost)} more came too fast`}`);
  }
}

/** Of the reasons that occur most; longer ones push the rest of their line. */
const REASON_COLUMNS = 'FORWARD_LATER_FRAGMENT'.length;

export function packetLine(screen: Screen, it: CapturedPacketLine): string {
  const reason = screen.paint(verdictStyle(it.reason), it.reason.padEnd(REASON_COLUMNS));
  const frame = Uint8Array.from(Buffer.from(it.frame, 'hex'));
  const words = describeFrame(frame, { guePort: PORTS_DEFAULT.gue });
  const where = it.interface ?? `if${it.ifindex}`;
  return `${screen.paint('dim', timeWithMicroseconds(it.atMs))} ${where} ${reason} ${words}`;
}

/** Whole blocks alone, so that what an interruption leaves can be read. */
async function pipe(session: Session, client: Client, request: CaptureInput): Promise<void> {
  for await (const { bytes } of wholeBlocks(client.captureFile(request))) await session.out.writeBytes(bytes);
}

async function save(session: Session, client: Client, request: CaptureInput, file: string): Promise<void> {
  let packets = 0;
  let size = 0;
  // Opened once the daemon agrees: a failure should not empty the file of the capture before.
  let handle: FileHandle | undefined;
  try {
    for await (const { blocks, bytes } of wholeBlocks(client.captureFile(request))) {
      handle ??= await open(file, 'w');
      await handle.appendFile(bytes);
      packets += blocks.filter((block) => packetOf(block) !== undefined).length;
      size += bytes.length;
    }
  } catch (cause) {
    if (cause instanceof Failure || session.signal.aborted) throw cause;
    throw fileFailure(`write ${file}`, cause);
  } finally {
    await handle?.close();
  }
  if (session.json) session.printJson({ file, packets, bytes: size });
  else session.remark(`${counted(packets, 'packet')}, ${byteCount(size)}, in ${file}`);
}
