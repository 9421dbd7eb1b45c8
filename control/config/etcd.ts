// Owns what a node's file may say of an etcd: its addresses, and what it takes to be let in. Reaching it is
// control/store/etcd.
import { z } from 'zod';

export const ETCD_PREFIX_DEFAULT = '/holdfast/';
const PORT_DEFAULT = '2379';
/** Members; etcd recommends seven at most. */
export const ETCD_URLS_MAX = 9;

const absolutePath = z.string().startsWith('/', 'must be an absolute path');

export const etcdSchema = z.strictObject({
  prefix: z
    .string()
    .regex(/^\/[\x21-\x7e]{0,100}\/$|^\/$/, 'must begin and end with /, such as /holdfast/')
    .default(ETCD_PREFIX_DEFAULT)
    .describe('Of all keys of this cluster; others may use the same etcd with other prefixes'),
  certificateAuthority: absolutePath
    .optional()
    .describe('PEM: who signs the certificates of etcd; default: those that the host trusts'),
  certificate: absolutePath.optional().describe('PEM: of this node, for an etcd that wants one'),
  key: absolutePath.optional().describe('PEM'),
  username: z.string().min(1).optional().describe('For an etcd with authentication'),
  passwordFile: absolutePath.optional().describe('Has the password, and nothing else'),
  insecure: z
    .boolean()
    .default(false)
    .describe('Allows http:// to other hosts: whoever can reach or read that network then owns the cluster'),
});
export type EtcdConfig = Partial<z.infer<typeof etcdSchema>>;

/** `URL[,URL...]`: http or https, a host, a port or etcd's own; undefined where it is anything else. */
export function etcdUrls(text: string): URL[] | undefined {
  const urls = text.split(',').map((it) => (URL.canParse(it) ? new URL(it) : undefined));
  if (urls.length > ETCD_URLS_MAX || new Set(urls.map((it) => it?.href)).size !== urls.length)
    return undefined;
  const known = urls.filter((it) => it !== undefined);
  if (known.length !== urls.length || !known.every(isPlain)) return undefined;
  for (const [index, url] of known.entries()) {
    // What a scheme's own port is, a URL leaves out.
    const said = /:(\d+)\/?$/.exec(text.split(',')[index]!)?.[1];
    url.port = said ?? PORT_DEFAULT;
  }
  return known;
}

function isPlain({ protocol, hostname, username, password, pathname, search, hash }: URL): boolean {
  const isBare = username === '' && password === '' && pathname === '/' && search === '' && hash === '';
  return (protocol === 'http:' || protocol === 'https:') && hostname !== '' && isBare;
}

export function isLoopback({ hostname }: URL): boolean {
  return hostname === 'localhost' || /^127(\.\d+){3}$/.test(hostname) || hostname === '[::1]';
}

type Said = { readonly store: string; readonly etcd?: z.infer<typeof etcdSchema> | undefined };

/** What is wrong between `store` and `etcd` of a node's file. */
export function etcdMistakes({ store, etcd }: Said): { path: string[]; message: string }[] {
  if (!store.startsWith('etcd=')) {
    return etcd === undefined
      ? []
      : [{ path: ['etcd'], message: 'says nothing to this store: write store: etcd=https://HOST:2379' }];
  }
  // What is no address is told of `store` alone.
  const urls = etcdUrls(store.slice('etcd='.length)) ?? [];
  const open = urls.find((it) => it.protocol === 'http:' && !isLoopback(it));
  const pairs = [
    ['certificate', 'key'],
    ['username', 'passwordFile'],
  ] as const;
  return [
    ...(open === undefined || etcd?.insecure === true
      ? []
      : [
          {
            path: ['store'],
            message: `http://${open.host} is open to whoever can reach it: use https://, or set etcd.insecure to true`,
          },
        ]),
    ...pairs.flatMap(([one, other]) =>
      (etcd?.[one] === undefined) === (etcd?.[other] === undefined)
        ? []
        : [{ path: ['etcd'], message: `has one of ${one} and ${other}: both are needed` }],
    ),
  ];
}
