// Owns reading the body of a request: media type, size, encoding, JSON. What it must say is its schema's.
import type { Context, Next } from 'hono';
import { Failure } from '../lib/failure.ts';
import { RequestFailure } from './failures.ts';

/** A document that fills the data plane with names and addresses of full length has 2.7 MiB, indented. */
export const BODY_BYTES_MAX = 4 << 20;

const MEDIA_TYPE = 'application/json';
const PATCH_MEDIA_TYPE = 'application/merge-patch+json';

/** Middleware of routes with a body: afterwards it is known to be JSON, and hono has it as text. */
export const bodyOf = (bytesMax: number) => (c: Context, next: Next) => read(c, next, bytesMax);
export const readBody = bodyOf(BODY_BYTES_MAX);

async function read(c: Context, next: Next, bytesMax: number): Promise<void> {
  checkMediaType(c);
  const text = decode(await bytesOf(c, bytesMax));
  try {
    JSON.parse(text);
  } catch (error) {
    throw new Failure('invalid', 'The body is not JSON.', {
      cause: error,
      remedy: text === '' ? 'Send {} where there is nothing to say.' : 'Send JSON (RFC 8259).',
    });
  }
  // The type says string, but hono awaits what it finds here.
  c.req.bodyCache.text = Promise.resolve(text) as unknown as string;
  await next();
}

// A page in a browser can make it send other types across origins without asking, with the user's certificate.
function checkMediaType(c: Context): void {
  const given = c.req.header('content-type');
  const [type = '', ...parameters] = (given ?? '').split(';').map((it) => it.trim().toLowerCase());
  const known = type === MEDIA_TYPE || (c.req.method === 'PATCH' && type === PATCH_MEDIA_TYPE);
  const charset = parameters.find((it) => it.startsWith('charset='))?.replace(/^charset="?([^"]*)"?$/, '$1');
  if (known && (charset === undefined || charset === 'utf-8' || charset === 'utf8')) return;
  throw new RequestFailure('unsupportedMediaType', 'The body must be JSON in UTF-8.', {
    reason:
      given === undefined
        ? 'Content-Type is missing.'
        : `Content-Type is ${JSON.stringify(given.slice(0, 80))}.`,
    remedy: `Send Content-Type: ${MEDIA_TYPE}, and {} where there is nothing to say.`,
  });
}

async function bytesOf(c: Context, bytesMax: number): Promise<Uint8Array> {
  const announced = Number(c.req.header('content-length') ?? 0);
  if (announced > bytesMax) throw tooLarge(bytesMax, `It has ${announced} bytes.`);
  const reader = c.req.raw.body?.getReader();
  if (reader === undefined) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read().catch((error: unknown) => {
      throw new Failure('invalid', 'The body broke off.', { cause: error });
    });
    if (done) return Buffer.concat(chunks);
    size += value.byteLength;
    if (size > bytesMax) {
      reader.cancel().catch(() => {});
      throw tooLarge(bytesMax, 'It goes on after that.');
    }
    chunks.push(value);
  }
}

function tooLarge(bytesMax: number, reason: string): RequestFailure {
  return new RequestFailure('bodyTooLarge', `The body is longer than ${bytesMax} bytes.`, {
    reason,
    remedy: 'Change the cluster in several requests.',
    // What is left of the body would have to be read to find the next request.
    headers: { connection: 'close' },
  });
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Failure('invalid', 'The body is not UTF-8.', { remedy: 'Send JSON in UTF-8.' });
  }
}
