// Owns what the API says of who is trusted, from the records of the store and what is known of nodes.
import { X509Certificate } from 'node:crypto';
import type { Members, NodeView } from '../../api/schema.ts';
import { holdersOfFormer } from '../../trust/authority_core.ts';
import type { IssuedCertificate } from '../../trust/identity_core.ts';
import { tokenState } from '../../trust/token_core.ts';
import type { Standing } from '../../trust/trust.ts';
import type { TrustState } from '../../trust/trust_view.ts';

export function membersOf(
  { authority, nodes, users, tokens }: TrustState,
  own: { readonly self: string; readonly standing: Standing; readonly nodes: readonly NodeView[] },
  nowMs: number,
): Members {
  const certificate = (certificates: readonly IssuedCertificate[]) => {
    const newest = certificates.at(-1);
    return {
      ...(newest !== undefined && { serial: newest.serial, expiresAtMs: newest.notAfterMs }),
      isFormer: newest !== undefined && newest.authority !== authority?.issuing,
    };
  };
  const holders = [
    ...[...nodes].map(([name, it]) => ({ ...it, name: `node ${name}` })),
    ...[...users].map(([name, it]) => ({ ...it, name: `user ${name}` })),
  ];
  const signing = authority?.authorities.find(({ id }) => id === authority.issuing);
  return {
    standing: own.standing,
    ...(authority !== undefined && { cluster: authority.cluster }),
    ...(authority !== undefined &&
      signing !== undefined && {
        authority: {
          number: authority.issuing,
          epoch: authority.epoch,
          expiresAtMs: Date.parse(new X509Certificate(signing.certificate).validTo),
          isReplacing: authority.authorities.length > 1,
          waitsFor:
            authority.authorities.length > 1
              ? holdersOfFormer(authority, holders).map(({ name }) => name)
              : [],
        },
      }),
    nodes: [...nodes].sort(byName).map(([name, { roles, joinedAtMs, certificates }]) => {
      const view = own.nodes.find((it) => it.name === name);
      const heard = (view?.heard ?? []).flatMap(({ agoMs }) => (agoMs === undefined ? [] : [agoMs]));
      return {
        name,
        roles: [...roles],
        self: name === own.self,
        joinedAtMs,
        ...certificate(certificates),
        ...(view !== undefined && { state: view.state }),
        ...(heard.length > 0 && { seenAgoMs: Math.min(...heard) }),
      };
    }),
    users: [...users]
      .sort(byName)
      .map(([name, { role, certificates }]) => ({ name, role, ...certificate(certificates) })),
    tokens: [...tokens].sort(byName).map(([id, token]) => ({
      id,
      state: tokenState(token, nowMs),
      roles: [...token.roles],
      createdAtMs: token.createdAtMs,
      expiresAtMs: token.expiresAtMs,
      ...(token.used !== undefined && { usedBy: token.used.node }),
    })),
  };
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
