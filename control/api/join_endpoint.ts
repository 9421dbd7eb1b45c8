// Owns what nodes that have no certificate yet may ask, on a port of its own: to join with a token. Nothing else is answered
// there. Deciding it is control/trust.
import type { HttpBindings } from '@hono/node-server';
import { ROLES, type Role } from '../config/node.ts';
import { nameSchema } from '../config/objects.ts';
import { Failure } from '../lib/failure.ts';
import { JOIN_PATH, type JoinAnswer, type JoinRequest, joinRequestSchema } from '../trust/join_client.ts';
import { failureOf, failureResponse } from './failures.ts';
import type { Api } from './server.ts';

const BODY_BYTES_MAX = 8 << 10;

export type JoinEndpointOptions = {
  readonly admit: (asked: JoinRequest & { readonly roles: readonly Role[] }) => Promise<JoinAnswer>;
  /** Each attempt that was refused, for the log. Strangers can have it said as often as they like. */
  readonly refused: (failure: Failure, address: string | undefined) => void;
};

export function createJoinEndpoint({ admit, refused }: JoinEndpointOptions): Pick<Api, 'fetch'> {
  const answer = async (request: Request, { incoming }: Partial<HttpBindings>): Promise<Response> => {
    try {
      if (request.method !== 'POST' || new URL(request.url).pathname !== JOIN_PATH) {
        throw new Failure('not_found', 'There is nothing here but joining.', {});
      }
      return Response.json(await admit(await askedBy(request)));
    } catch (error) {
      const { failure } = failureOf(error);
      refused(failure, incoming?.socket.remoteAddress);
      return failureResponse(failure);
    }
  };
  const fetch = async (request: Request, bindings: Partial<HttpBindings> = {}): Promise<Response> => {
    const response = await answer(request, bindings);
    // Nobody has a second question, and there are few places.
    response.headers.set('connection', 'close');
    return response;
  };
  return { fetch: fetch as Api['fetch'] };
}

async function askedBy(request: Request): Promise<JoinRequest & { readonly roles: readonly Role[] }> {
  const parsed = joinRequestSchema.safeParse(await bodyOf(request));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Failure('invalid', 'That is no request to join.', {
      reason: `${issue!.path.join('.')}: ${issue!.message}`,
      remedy: 'Use the same version of Holdfast on all nodes.',
    });
  }
  const roles = parsed.data.roles.filter((it): it is Role => (ROLES as readonly string[]).includes(it));
  if (roles.length !== parsed.data.roles.length || !nameSchema.safeParse(parsed.data.node).success) {
    throw new Failure('invalid', 'That is no node that could join.', {
      reason: 'Its name or one of its roles is none here.',
    });
  }
  return { ...parsed.data, roles };
}

async function bodyOf(request: Request): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new Failure('invalid', 'The request is too long.', {});
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (cause) {
    throw new Failure('invalid', 'That is no request to join.', { cause });
  }
}
