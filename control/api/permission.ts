// Owns who asks, and whether that one may: before a route runs, for every request. Which operation needs which role is
// control/trust/permissions_core.ts; which certificates count, control/trust.
import type { TLSSocket } from 'node:tls';
import type { Context } from 'hono';
import type { ApiRole, CallerRole } from '../config/api_roles.ts';
import { Failure } from '../lib/failure.ts';
import { isAllowed, PEER_OPERATIONS, roleFor } from '../trust/permissions_core.ts';
import type { ApiEnv, Caller } from './operation.ts';

/** Undefined: this connection is not of the cluster's own certificates; whoever has signed them has decided. */
export type Recognize = (
  socket: TLSSocket,
) => Promise<{ readonly name: string; readonly role: CallerRole; readonly serial?: string } | undefined>;

/** What the connection says itself. */
export function callerOf(c: Context<ApiEnv>): Caller {
  const socket = c.env.incoming?.socket as TLSSocket | undefined;
  if (socket === undefined) return { via: 'test', role: 'admin' };
  // The socket is root's alone.
  if (socket.encrypted !== true) return { via: 'unix', role: 'admin' };
  const name = socket.getPeerCertificate().subject?.CN;
  return {
    via: 'tls',
    ...(typeof name === 'string' ? { subject: name } : {}),
    ...(socket.remoteAddress === undefined ? {} : { address: socket.remoteAddress }),
    // Certificates of an authority outside of the cluster have no other role: it decides whom it signs for.
    role: 'admin',
  };
}

export async function recognized(c: Context<ApiEnv>, recognize: Recognize | undefined): Promise<Caller> {
  const caller = c.get('caller');
  const socket = c.env.incoming?.socket as TLSSocket | undefined;
  if (caller.via !== 'tls' || socket === undefined || recognize === undefined) return caller;
  const known = await recognize(socket);
  if (known === undefined) return caller;
  const { name, role, serial } = known;
  return { ...caller, subject: name, role, ...(serial !== undefined && { serial }) };
}

/** @throws Failure `forbidden` */
export function checkPermission({ role, subject }: Caller, operation: string): void {
  // What there is no route for is no secret.
  if (operation === 'none' || isAllowed(operation, role)) return;
  throw new Failure('forbidden', `This needs the role ${roleFor(operation)}.`, {
    reason:
      role === 'peer'
        ? `${subject} is a node, and nodes ask each other for ${[...PEER_OPERATIONS].join(', ')} alone.`
        : `${subject} has the role ${role}.`,
    remedy:
      role === 'peer'
        ? 'Ask with the certificate of a user: holdfast users add NAME --role ROLE'
        : `An admin can change that: holdfast users set ${subject} --role ${roleFor(operation)}`,
  });
}

/** For what a route allows in part. @throws Failure `forbidden` */
export function needRole({ role, subject }: Caller, needed: ApiRole, what: string): void {
  if (role === 'admin' || role === needed) return;
  throw new Failure('forbidden', `This needs the role ${needed}: ${what}.`, {
    reason: `${subject} has the role ${role}.`,
    remedy: `An admin can change that: holdfast users set ${subject} --role ${needed}`,
  });
}
