// Owns the shape of what the API says of a mux's routes.
import { z } from 'zod';
import { ROUTE_MODES } from '../../config/routes.ts';
import { count, milliseconds } from './common.ts';

export const routesSchema = z.object({
  mode: z
    .enum(ROUTE_MODES)
    .describe('static: routers have static routes to this mux; bird: BIRD announces the service addresses'),
  announced: z
    .enum(['normal', 'lastResort', 'withdrawn'])
    .optional()
    .describe('lastResort: with the community graceful shutdown; absent where the mode is static'),
  addresses: z.array(z.string()).optional().describe('Service addresses that are announced'),
  inEffect: z.boolean().optional().describe('BIRD has exactly these'),
  supervised: z.boolean().optional().describe('holdfast-supervisor runs; absent while that is not known'),
  bird: z
    .object({
      state: z.enum(['up', 'failed', 'unknown']).describe('unknown: not asked yet'),
      version: z.string().optional(),
      error: z.string().optional(),
      sessions: z.array(
        z.object({
          name: z.string().describe('Of the BGP protocol in bird.conf'),
          state: z.string().describe('Established, Active, ... (RFC 4271), or down'),
          detail: z.string().optional(),
          exported: count.optional().describe('Routes that it sends, whosever they are'),
        }),
      ),
      bfd: z.array(
        z.object({
          peer: z.string(),
          interface: z.string(),
          state: z.string().describe('Up, Down, Init, AdminDown (RFC 5880)'),
          timeoutMs: milliseconds.describe('Without a packet for so long, the session is down'),
        }),
      ),
    })
    .optional(),
});
export type Routes = z.infer<typeof routesSchema>;
