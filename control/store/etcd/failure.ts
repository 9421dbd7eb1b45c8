// Owns what it means to a user when etcd refuses, or cannot be reached: a Failure with cause and remedy.
import { Failure, type FailureCode } from '../../lib/failure.ts';
import type { ExchangeError } from './exchange.ts';
import type { Refusal } from './messages.ts';

/** Codes of gRPC: https://grpc.github.io/grpc/core/md_doc_statuscodes.html */
export const NOT_FOUND = 5;
export const OUT_OF_RANGE = 11;
const UNAUTHENTICATED = 16;

/** Etcd's answer that it will not do this. Those that callers know what to do about never reach a user. */
export class Refused extends Error {
  readonly code: number;

  constructor({ code, message }: Refusal) {
    super(message);
    this.code = code;
  }
}

type Meaning = { readonly code: FailureCode; readonly message: string; readonly remedy: string };

const MEMBERS = 'start etcd, or check store in the configuration of this node and the network in between';
const TRUST = 'name the authority that signed the certificate of etcd in etcd.certificateAuthority';
const IDENTIFY = 'name a certificate that etcd trusts, and its key, in etcd.certificate and etcd.key';
const PLAIN = 'write http:// in store, if that is what you want';
const LOGIN = 'check etcd.username and etcd.passwordFile in the configuration of this node';
const HEALTH = 'see etcdctl endpoint health and the log of etcd: more than half of its members must work';

/** By what etcd says; texts are those of its own error table, of 3.4 and later. */
const REFUSALS: readonly (readonly [RegExp, Meaning])[] = [
  [
    /database space exceeded|NOSPACE/,
    {
      code: 'limit',
      message: 'etcd has no space left and takes no changes',
      remedy:
        'compact and defragment it, then etcdctl alarm disarm; or start it with a larger --quota-backend-bytes',
    },
  ],
  [
    /request is too large|received message larger/,
    {
      code: 'limit',
      message: 'the change is larger than etcd takes at once',
      remedy: 'change less at once, or start etcd with a larger --max-request-bytes (1.5 MiB is its default)',
    },
  ],
  [
    /too many operations/,
    {
      code: 'limit',
      message: 'the change has more operations than etcd takes at once',
      remedy: 'start etcd with --max-txn-ops 128 (its default) or more',
    },
  ],
  [
    /authentication failed|user name is empty|user name not found|auth token|auth store is old/,
    { code: 'unauthorized', message: 'etcd does not accept who we say we are', remedy: LOGIN },
  ],
  [
    /permission denied/,
    {
      code: 'forbidden',
      message: 'etcd does not let this node use its prefix',
      remedy: 'grant the role of etcd.username readwrite on etcd.prefix: etcdctl role grant-permission',
    },
  ],
  [
    /no leader|leader changed|request timed out/,
    { code: 'unavailable', message: 'etcd has no leader', remedy: HEALTH },
  ],
  [
    /corrupt/,
    {
      code: 'unavailable',
      message: 'a member of etcd says that its data are corrupt',
      remedy: 'see the log of etcd',
    },
  ],
];

/** Codes by which a member says that it could not, rather than that one cannot. */
const TROUBLES: readonly number[] = [1, 2, 4, 8, 13, 14, 15];

/** What a user can do something about; undefined for what only the caller understands. */
export function knownRefusal(refused: Refused, url: URL): Failure | undefined {
  const isKnown = REFUSALS.some(([pattern]) => pattern.test(refused.message));
  return isKnown || TROUBLES.includes(refused.code) ? refusalFailure(refused, url) : undefined;
}

export function refusalFailure(refused: Refused, url?: URL): Failure {
  const meaning = REFUSALS.find(([pattern]) => pattern.test(refused.message))?.[1] ?? {
    code: 'unavailable' as const,
    message: 'etcd refuses',
    remedy: 'see the log of etcd',
  };
  return new Failure(meaning.code, meaning.message, {
    reason: `${url?.host ?? 'It'} says: ${refused.message} (code ${refused.code})`,
    remedy: meaning.remedy,
    cause: refused,
  });
}

export function isTokenRefusal({ code, message }: Refused): boolean {
  return code === UNAUTHENTICATED || /auth token|user name is empty|auth store is old/.test(message);
}

/** The refusal says that nothing was done, and that another member may do it. */
export function wasNotDone({ message }: Refused): boolean {
  return /no leader|not capable|too many requests/.test(message);
}

/** What answers is not etcd: a status and a page. */
export function strangerFailure(status: number, text: string, url: URL): Failure {
  const wantsTls = /HTTP request to an HTTPS server/i.test(text);
  return new Failure('unavailable', `what answers at ${url.host} is not etcd`, {
    reason: wantsTls
      ? 'It wants TLS.'
      : `It answers with HTTP status ${status}: ${JSON.stringify(text.trim().slice(0, 60))}`,
    remedy: wantsTls
      ? 'write https:// in store'
      : 'check the address in store: it must be that of etcd’s clients, and etcd 3.4 or newer',
  });
}

const NETWORK: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'Nobody listens there.',
  ENOTFOUND: 'This name has no address.',
  EAI_AGAIN: 'The name server does not answer.',
  EHOSTUNREACH: 'The host does not answer.',
  ENETUNREACH: 'There is no route.',
  ECONNRESET: 'It closed the connection before its answer was complete.',
  EPIPE: 'It closed the connection before its answer was complete.',
};

export function connectionFailure(error: ExchangeError, url: URL): Failure {
  const { code, message: text } = error;
  const message = `etcd at ${url.host} does not answer`;
  const fail = (failure: FailureCode, reason: string, remedy: string) =>
    new Failure(failure, message, { reason, remedy, cause: error });
  if (code === 'ETIMEDOUT') {
    const reason = error.sent ? `${begun(text)}.` : 'The host does not take the connection.';
    return fail('unavailable', reason, error.sent ? HEALTH : MEMBERS);
  }
  const known = NETWORK[code];
  // etcd closes the connections of those who do not speak TLS where it does.
  if (code === 'ECONNRESET' && url.protocol === 'https:' && !error.sent) {
    return fail('unavailable', 'It does not speak TLS, or ended it at its beginning.', PLAIN);
  }
  const isCut = code === 'ECONNRESET' && url.protocol === 'http:';
  if (known !== undefined) {
    return fail(
      'unavailable',
      known,
      isCut ? `see its log; if it wants TLS, write https:// in store` : MEMBERS,
    );
  }
  const tls = tlsMeaning(code, text, url);
  if (tls !== undefined) return fail(...tls);
  if (code.startsWith('HPE_')) {
    return fail('unavailable', 'What listens there does not speak HTTP.', 'check the address in store');
  }
  return fail('unavailable', text === '' ? code : begun(text), MEMBERS);
}

function tlsMeaning(code: string, text: string, url: URL): [FailureCode, string, string] | undefined {
  // Alerts of RFC 8446 section 6.2 about our certificate.
  if (
    /ALERT_(?:CERTIFICATE|BAD_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)/.test(code) ||
    /alert (?:certificate|bad certificate|unknown ca|handshake failure)/i.test(text)
  ) {
    return ['unauthorized', 'It wants another certificate of this node.', IDENTIFY];
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return [
      'forbidden',
      'Its certificate is for another host.',
      `have its certificate name ${url.hostname}, or name it in store as its certificate does`,
    ];
  }
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    const when = code === 'CERT_HAS_EXPIRED' ? 'has expired' : 'is not valid yet';
    return [
      'forbidden',
      `Its certificate ${when} by the clock of this node.`,
      'check the clock (timedatectl); if it is right, renew the certificate of etcd',
    ];
  }
  if (/SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)|CERT_UNTRUSTED|INVALID_CA|CERT_SIGNATURE/.test(code)) {
    return ['forbidden', 'Nobody known here signed its certificate.', TRUST];
  }
  if (/wrong.version.number|packet.length.too.long|http.request/i.test(`${code} ${text}`)) {
    return ['unavailable', 'It does not speak TLS.', PLAIN];
  }
  if (code.startsWith('ERR_SSL') || code.startsWith('ERR_OSSL') || code === 'EPROTO') {
    return ['unavailable', `TLS failed: ${text.trim()}`, IDENTIFY];
  }
  return undefined;
}

/** Whether other certificates might help. */
export function isAboutCertificates({ code }: Failure): boolean {
  return code === 'forbidden' || code === 'unauthorized';
}

/** Of several members, what each said. */
export function nobodyFailure(failures: readonly Failure[]): Failure {
  const [first] = failures;
  if (failures.length === 1) return first!;
  return new Failure('unavailable', `none of the ${failures.length} members of etcd answers`, {
    reason: failures.map((it) => `${it.message}: ${it.reason ?? it.code}`).join('\n'),
    ...(first!.remedy !== undefined && { remedy: first!.remedy }),
    cause: first,
  });
}

function begun(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
