// Owns asking a node of a cluster to let this one join. The token says whom to believe: nothing is sent to a server before it
// has shown that the authority with the token's fingerprint certified it as a node, and who asks has judged its certificate.
import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import { connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import { z } from 'zod';
import { FAILURES, Failure, type FailureCode } from '../lib/failure.ts';
import { isCertified, isSignedBy } from './certificates.ts';
import { parseAltNames } from './identity_core.ts';
import { fingerprintOf } from './issue.ts';
import type { JoinToken } from './token_core.ts';
import type { ShownCertificate } from './trust_view.ts';

export const JOIN_PATH = '/v1/join';
const TIMEOUT_MS = 10_000;
const ANSWER_BYTES_MAX = 256 << 10;
const CHAIN_MAX = 8;

export const joinRequestSchema = z.strictObject({
  token: z.string().regex(/^[0-9a-f]{16}$/),
  secret: z.base64().length(44),
  node: z.string().min(1).max(63),
  roles: z.array(z.string().max(16)).min(1).max(4),
  publicKey: z.string().max(1_024),
  addresses: z.array(z.string().max(64)).max(8),
  /** Of the cluster that this node's store has; absent: of none. */
  cluster: z.string().max(64).exactOptional(),
});
export type JoinRequest = z.infer<typeof joinRequestSchema>;

const joinAnswerSchema = z.object({
  id: z.string(),
  cluster: z.string(),
  certificate: z.string(),
  authority: z.int(),
  epoch: z.int(),
  authorities: z.array(z.object({ id: z.int(), certificate: z.string() })).min(1),
  cross: z.string().exactOptional(),
  secret: z.base64().exactOptional(),
});
export type JoinAnswer = z.infer<typeof joinAnswerSchema>;

const failureSchema = z.object({
  code: z.enum(Object.keys(FAILURES) as [FailureCode, ...FailureCode[]]),
  message: z.string(),
  cause: z.string().optional(),
  remedy: z.string().optional(),
});

/** What is wrong with the certificate that a server has shown, which the cluster has signed for a node. */
export type Judge = (shown: ShownCertificate) => Error | undefined;

/**
 * Tries the token's addresses in turn, until one answers anything. @throws Failure `unavailable` where the answer does not say
 * whether this node has joined; or that of `judge`.
 */
export async function askToJoin(
  token: JoinToken,
  asked: Omit<JoinRequest, 'token' | 'secret'>,
  judge: Judge,
): Promise<JoinAnswer> {
  const tried: string[] = [];
  for (const address of token.addresses) {
    const { host, port } = hostAndPort(address);
    let authority: string;
    try {
      authority = await authorityAt(host, port, token.fingerprint);
    } catch (error) {
      if (error instanceof Failure) throw error;
      tried.push(`${address}: ${(error as Error).message}`);
      continue;
    }
    const secret = Buffer.from(token.secret).toString('base64');
    const request = { token: token.id, secret, ...asked };
    const answer = await post({ host, port, authority, judge }, request);
    const wrong = wrongIn(answer, token, asked);
    if (wrong !== undefined) throw mayHaveJoined(asked.node, wrong);
    return answer;
  }
  throw new Failure('unavailable', 'no node of the cluster answers at the addresses of the token', {
    reason: `${tried.join('; ')}. They listen for as long as a token counts.`,
    remedy:
      'if the token is old, get another one: holdfast cluster token; else check that holdfastd runs there, and that api.joinPort is let through',
  });
}

/** The authority that the token means, from what the server shows. Nothing is said to it. */
async function authorityAt(host: string, port: number, fingerprint: Uint8Array): Promise<string> {
  const socket = await connected(host, port);
  try {
    for (const raw of chainOf(socket.getPeerCertificate(true))) {
      if (Buffer.compare(createHash('sha256').update(raw).digest(), fingerprint) === 0) {
        return new X509Certificate(raw).toString();
      }
    }
  } finally {
    socket.destroy();
  }
  throw notTheCluster(host, port, 'It does not show the authority whose fingerprint the token has.');
}

async function connected(host: string, port: number): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // Whoever it is, it is asked for no more than its certificates.
  const socket = connect({ host, port, rejectUnauthorized: false, minVersion: 'TLSv1.3' });
  const timer = setTimeout(() => reject(new Error('it does not answer')), TIMEOUT_MS);
  socket.once('secureConnect', resolve).on('error', reject);
  try {
    await promise;
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function* chainOf(leaf: DetailedPeerCertificate): Generator<Buffer> {
  let at: DetailedPeerCertificate | undefined = leaf;
  for (let count = 0; at?.raw !== undefined && count < CHAIN_MAX; count++) {
    yield at.raw;
    at = at.issuerCertificate === at ? undefined : at.issuerCertificate;
  }
}

type Server = {
  readonly host: string;
  readonly port: number;
  /** PEM. */
  readonly authority: string;
  readonly judge: Judge;
};

/** After these a node may have joined nevertheless. */
const DOUBTFUL: readonly FailureCode[] = ['unavailable', 'timeout', 'internal'];

async function post(server: Server, asked: JoinRequest): Promise<JoinAnswer> {
  const { status, text } = await exchanged(server, asked);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // No answer of ours; see below.
  }
  const answer = joinAnswerSchema.safeParse(value);
  if (status === 200 && answer.success) return answer.data;
  const { success, data } = failureSchema.safeParse(value);
  if (!success) throw mayHaveJoined(asked.node, `The answer of ${server.host} makes no sense here.`);
  const { code, message, cause, remedy } = data;
  if (DOUBTFUL.includes(code)) throw mayHaveJoined(asked.node, `${server.host} answered: ${message}`);
  throw new Failure(code, message, {
    ...(cause !== undefined && { reason: cause }),
    ...(remedy !== undefined && { remedy }),
  });
}

async function exchanged(
  { host, port, authority, judge }: Server,
  asked: JoinRequest,
): Promise<{ status: number; text: string }> {
  const body = JSON.stringify(asked);
  let isSent = false;
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const asking = request({
    host,
    port,
    path: JOIN_PATH,
    method: 'POST',
    agent: false,
    ca: authority,
    minVersion: 'TLSv1.3',
    // A node of the cluster, whichever it is and wherever it is reached.
    checkServerIdentity: (_host, { subjectaltname: altNames, raw }) =>
      parseAltNames(altNames)?.kind === 'node'
        ? judge({ altNames, serial: new X509Certificate(raw).serialNumber })
        : new Error('it is no node of the cluster'),
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  asking.on('error', reject);
  // Before that the server is not known to be the right one, and gets nothing.
  asking.on('socket', (socket) => {
    socket.once('secureConnect', () => {
      isSent = true;
    });
  });
  asking.on('response', (response) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > ANSWER_BYTES_MAX) response.destroy(new Error('its answer is too long'));
      else chunks.push(chunk);
    });
    response.on('error', reject);
    response.on('end', () =>
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
    );
  });
  asking.end(body);
  try {
    return await promise;
  } catch (error) {
    if (error instanceof Failure) throw error;
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (isSent) throw mayHaveJoined(asked.node, `${host} did not answer: ${message}`);
    throw notTheCluster(host, port, meaningOf(code, message));
  }
}

/** Undefined: this node can be what the answer makes it. */
function wrongIn(
  { cluster, certificate, authority, authorities, cross }: JoinAnswer,
  { fingerprint }: JoinToken,
  asked: Omit<JoinRequest, 'token' | 'secret'>,
): string | undefined {
  try {
    const meant = authorities.find((it) => Buffer.compare(fingerprintOf(it.certificate), fingerprint) === 0);
    if (meant === undefined) return 'Its answer does not have the authority that the token means.';
    const others = authorities.filter((it) => it !== meant);
    if (!others.every((it) => isCertified(it.certificate, cross, [meant.certificate]))) {
      return 'Its answer has an authority that the one of the token has not certified.';
    }
    const own = new X509Certificate(certificate);
    const by = authorities.find(({ id }) => id === authority);
    const name = parseAltNames(own.subjectAltName);
    const isOwn =
      by !== undefined &&
      isSignedBy(own, new X509Certificate(by.certificate)) &&
      own.publicKey.equals(createPublicKey(asked.publicKey)) &&
      name?.kind === 'node' &&
      name.name === asked.node &&
      name.cluster === cluster &&
      cluster === asked.cluster;
    return isOwn ? undefined : 'The certificate in its answer is not for this node.';
  } catch (error) {
    return `A certificate in its answer is none: ${(error as Error).message}`;
  }
}

function meaningOf(code: string, message: string): string {
  if (code === 'CERT_NOT_YET_VALID') return 'By the clock of this host its certificate is not valid yet.';
  if (code === 'CERT_HAS_EXPIRED') return 'By the clock of this host its certificate has expired.';
  return message;
}

function notTheCluster(host: string, port: number, reason: string): Failure {
  return new Failure('forbidden', `${host} port ${port} is not a node of the cluster that the token is for`, {
    reason,
    remedy:
      'the token was not sent. Check the addresses, the clock of this host, and that nobody is between; then get another token: holdfast cluster token',
  });
}

function mayHaveJoined(node: string, reason: string): Failure {
  return new Failure('unavailable', 'it is not known whether this node has joined the cluster', {
    reason,
    remedy: `see holdfast cluster members on a mux of the cluster: where ${node} is among the nodes, holdfast nodes remove ${node}; then get another token: holdfast cluster token`,
  });
}

function hostAndPort(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port: Number(address.slice(at + 1)) };
}
