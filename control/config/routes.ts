// Owns what a node's file may say about how routers come to know that this mux takes packets for service addresses.
import { z } from 'zod';

export const ROUTE_MODES = ['static', 'bird'] as const;
export type RouteMode = (typeof ROUTE_MODES)[number];

const COMMUNITIES_MAX = 16;
/** Halves of a standard community (RFC 1997); 65535:* is well known, and Holdfast's own business where it is 65535:0. */
const COMMUNITY = /^(\d{1,5}):(\d{1,5})$/;
const WELL_KNOWN = 65_535;

/** BIRD's sockets and paths are written into its configuration, between quotes. */
const path = z
  .string()
  .regex(/^\/[^\s"'\\*?[\]]*$/, 'must be an absolute path without spaces, quotes and wildcards')
  .max(100, 'must be 100 characters at most: a path of a socket is no longer');

const community = z.string().refine(isCommunity, {
  error: 'must be ASN:VALUE, each 0 to 65535, such as 64512:100; not 65535:0, which Holdfast adds by itself',
});

export const routesSchema = z
  .strictObject({
    mode: z
      .enum(ROUTE_MODES)
      .default('static')
      .describe(
        'static: routers have static routes to this mux, and nothing takes them away when it fails; bird: a BIRD 2 on this host announces the service addresses',
      ),
    birdSocket: path.default('/run/bird/bird.ctl').describe('Control socket of BIRD'),
    directory: path
      .default('/run/holdfast-routes')
      .describe(
        'Has what your bird.conf includes, as DIRECTORY*/bird.conf, and the will that holdfast-supervisor carries out; must not outlive a boot',
      ),
    communities: z
      .array(community)
      .max(COMMUNITIES_MAX)
      .default([])
      .describe('BGP communities of each announced address, ASN:VALUE'),
    leaveMs: z
      .int()
      .min(0)
      .max(60_000)
      .default(3_000)
      .describe(
        'A mux that leaves announces with the community graceful shutdown (RFC 8326) for so long, and then withdraws',
      ),
  })
  .prefault({});
export type RoutesConfig = z.infer<typeof routesSchema>;

function isCommunity(text: string): boolean {
  const [, upper, lower] = COMMUNITY.exec(text) ?? [];
  if (upper === undefined || lower === undefined) return false;
  return Number(upper) <= 65_535 && Number(lower) <= 65_535 && text !== `${WELL_KNOWN}:0`;
}
