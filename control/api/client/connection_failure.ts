// Owns what a connection that fails means to a user: an error of Node.js in, a Failure with cause and remedy out.
import { Failure, type FailureCode } from '../../lib/failure.ts';
import { type Endpoint, nameOf } from './endpoint.ts';
import type { Asked } from './exchange.ts';

const CLOSED = 'It closed the connection before its answer was complete.';
const LOG = 'Look at its log: journalctl -u holdfastd';

type Meaning = { readonly code: FailureCode; readonly reason: string; readonly remedy: string };

const START_LOCAL = 'Start holdfastd, or name its socket with --socket.';
const START_REMOTE = 'Start holdfastd with api.listen in its configuration, or name its address with --url.';

const SOCKET_MEANINGS: Readonly<Record<string, Meaning>> = {
  ENOENT: { code: 'unavailable', reason: 'There is no such socket.', remedy: START_LOCAL },
  ENOTDIR: { code: 'unavailable', reason: 'There is no such socket.', remedy: START_LOCAL },
  ECONNREFUSED: { code: 'unavailable', reason: 'Nobody listens on this socket.', remedy: START_LOCAL },
  EACCES: { code: 'forbidden', reason: 'Only root may open this socket.', remedy: 'Run it as root.' },
  EAGAIN: { code: 'unavailable', reason: 'Too many others wait for it to answer.', remedy: LOG },
  EPERM: { code: 'forbidden', reason: 'Only root may open this socket.', remedy: 'Run it as root.' },
};

const NETWORK = 'Check the address, and the network between here and there.';
const TRUST =
  'Name the authority that signed the certificate of holdfastd with --authority, and check the address.';
const IDENTIFY =
  "Name a certificate that the daemon's clientAuthority signed with --certificate, and its key with --key.";

const URL_MEANINGS: Readonly<Record<string, Meaning>> = {
  ECONNREFUSED: { code: 'unavailable', reason: 'Nobody listens there.', remedy: START_REMOTE },
  ENOTFOUND: { code: 'unavailable', reason: 'This name has no address.', remedy: NETWORK },
  EAI_AGAIN: { code: 'unavailable', reason: 'The name server does not answer.', remedy: NETWORK },
  EHOSTUNREACH: { code: 'unavailable', reason: 'The host does not answer.', remedy: NETWORK },
  ENETUNREACH: { code: 'unavailable', reason: 'There is no route.', remedy: NETWORK },
  ETIMEDOUT: { code: 'unavailable', reason: 'The host does not answer.', remedy: NETWORK },
};

export function connectionFailure(error: unknown, endpoint: Endpoint, asked: Asked): Failure {
  const message = `Cannot talk to holdfastd at ${nameOf(endpoint)}.`;
  const { code = '', message: text } = error as NodeJS.ErrnoException;
  const found =
    'url' in endpoint ? (URL_MEANINGS[code] ?? tlsMeaning(code, text, asked)) : SOCKET_MEANINGS[code];
  const { code: failure, reason, remedy } = found ?? otherMeaning(code, text, asked);
  return new Failure(failure, message, { reason, remedy, cause: error });
}

export function timeoutFailure(endpoint: Endpoint, asked: Asked, timeoutMs: number): Failure {
  return new Failure('timeout', `No answer from holdfastd at ${nameOf(endpoint)}.`, {
    reason: withDoubt(`It did not answer ${asked.method} ${asked.path} within ${timeoutMs / 1000} s.`, asked),
    remedy: `Give it more time with --timeout. ${LOG}`,
  });
}

function tlsMeaning(code: string, text: string, asked: Asked): Meaning | undefined {
  // Alerts of RFC 8446 section 6.2 about the client's certificate; with TLS 1.3 they come in place of the answer.
  if (/ALERT_(?:CERTIFICATE|BAD_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)/.test(code)) {
    return { code: 'unauthorized', reason: 'It wants another certificate of this client.', remedy: IDENTIFY };
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return { code: 'forbidden', reason: 'Its certificate is for another host.', remedy: TRUST };
  }
  if (code === 'CERT_NOT_YET_VALID') {
    return {
      code: 'forbidden',
      reason: 'By the clock of this host its certificate is not valid yet.',
      remedy: 'Set the clocks of both hosts; NTP keeps them so.',
    };
  }
  if (code === 'CERT_HAS_EXPIRED') {
    return { code: 'forbidden', reason: 'Its certificate has expired.', remedy: 'Renew it.' };
  }
  if (/SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)|CERT_UNTRUSTED|INVALID_CA/.test(code)) {
    return { code: 'forbidden', reason: 'Nobody known here signed its certificate.', remedy: TRUST };
  }
  if (/wrong.version.number|packet.length.too.long|http.request/i.test(`${code} ${text}`)) {
    return { code: 'unavailable', reason: 'What listens there does not speak TLS.', remedy: START_REMOTE };
  }
  if (code.startsWith('ERR_SSL') || code.startsWith('ERR_OSSL') || code === 'EPROTO') {
    return { code: 'unavailable', reason: `TLS failed: ${text.trim()}.`, remedy: IDENTIFY };
  }
  if (code === 'ECONNRESET') {
    // Node.js refuses the certificate of a client without an alert.
    return {
      code: 'unavailable',
      reason: withDoubt(CLOSED, asked),
      remedy: `It does so where its clientAuthority did not sign --certificate. ${LOG}`,
    };
  }
  return undefined;
}

function otherMeaning(code: string, text: string, asked: Asked): Meaning {
  if (code.startsWith('HPE_')) {
    return {
      code: 'unavailable',
      reason: 'What listens there does not speak HTTP.',
      remedy: 'Name the socket of holdfastd with --socket, or its address with --url.',
    };
  }
  if (code === 'ECONNRESET' || code === 'EPIPE') {
    return {
      code: 'unavailable',
      reason: withDoubt(CLOSED, asked),
      remedy: LOG,
    };
  }
  return { code: 'unavailable', reason: withDoubt(`${text}.`, asked), remedy: LOG };
}

/** Nobody can know whether a change that was not answered has happened. */
function withDoubt(reason: string, { method, path }: Asked): string {
  const reads = method === 'GET' || /^\/v1\/(?:explain|capture)/.test(path) || path.includes('dryRun=true');
  return reads ? reason : `${reason} The change may have been made, or not.`;
}
