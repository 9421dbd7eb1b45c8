// Owns what a node's YAML file says of the file service: where storages are here, and where it listens. What clients see is
// the namespace, in the store (namespace.ts).
import { z } from 'zod';
import { isAddress } from '../lib/address.ts';
import { STORAGES_MAX } from './namespace.ts';
import { nameSchema } from './objects.ts';

/** IANA: nfs. */
export const FILE_PORT_DEFAULT = 2_049;

const directory = z
  .string()
  .regex(
    /^(?:\/|(?:\/(?!\.{1,2}(?:\/|$))[^/]+)+)$/,
    'must be an absolute path without //, . and .., and not end with /',
  );

const ADDRESSES_MAX = 16;

const addressSchema = z.string().refine(isAddress, { error: 'not an IPv4 or IPv6 address' });

export const fileServiceSchema = z
  .strictObject({
    storages: z
      .record(nameSchema, directory)
      .default({})
      .refine((it) => Object.keys(it).length <= STORAGES_MAX, { error: `has more than ${STORAGES_MAX}` })
      .refine((it) => new Set(Object.values(it)).size === Object.keys(it).length, {
        error: 'two storages are one directory',
      })
      .describe('Where each storage of the namespace is mounted on this node: NAME: /directory'),
    address: z
      .union([addressSchema, z.array(addressSchema).min(1).max(ADDRESSES_MAX)])
      .optional()
      .describe('Where it listens, one or several; default: all addresses of this node'),
    port: z.int().min(1).max(65_535).default(FILE_PORT_DEFAULT).describe('TCP port, also for mounting'),
    portmapper: z
      .boolean()
      .default(false)
      .describe('Also answer on port 111, for clients that cannot be told a port'),
    slowRequestMs: z
      .int()
      .min(1)
      .max(600_000)
      .default(1_000)
      .describe('Requests that take longer are logged, and counted as slow'),
  })
  .describe('How this node serves files; with the role file');
export type FileServiceConfig = z.infer<typeof fileServiceSchema>;
