// Owns the shapes of the namespace as OpenAPI shows them: their names, and an example of each.
import { namespaceDocumentSchema } from '../../config/namespace.ts';
import { namespaceCommandSchema } from '../../config/namespace_commands.ts';
import { named } from '../components.ts';
import { namespaceChangeSchema, namespaceSchema } from '../schema/namespace.ts';

const storage = { name: 'data', id: 1, description: 'CephFS' };
const folder = { path: '/projects', mode: '0755', uid: 0, gid: 0, admin: [] };
const link = {
  path: '/projects/web',
  storage: 'data',
  target: 'projects/web',
  readOnly: false,
  clients: [{ address: '192.0.2.0/24', access: 'rw', squash: 'root' }],
  anonymousUid: 65_534,
  anonymousGid: 65_534,
} as const;
const { path: _, ...after } = link;

export const NamespaceDocument = named('NamespaceDocument', namespaceDocumentSchema, {
  storages: [storage],
  folders: [folder],
  links: [{ ...link, clients: [...link.clients] }],
});
export const NamespaceCommand = named('NamespaceCommand', namespaceCommandSchema, {
  op: 'mv',
  from: '/projects/web',
  to: '/projects/www',
});
export const NamespaceAnswer = named('Namespace', namespaceSchema, {
  revision: 4,
  storages: [{ ...storage, links: 1 }],
  entries: [
    { kind: 'folder', id: 1, ...folder, path: '/', modifiedAtMs: 1_767_225_600_000 },
    { kind: 'folder', id: 2, ...folder, modifiedAtMs: 1_767_225_600_000 },
    { kind: 'link', id: 3, ...link, clients: [...link.clients] },
  ],
  service: { address: '192.0.2.1', port: 2_049 },
});
export const NamespaceChange = named('NamespaceChange', namespaceChangeSchema, {
  dryRun: false,
  revision: 5,
  amounts: { add: 0, change: 0, move: 1, remove: 0 },
  changes: [
    {
      action: 'move',
      kind: 'link',
      name: '/projects/www',
      from: '/projects/web',
      before: after,
      after,
    },
  ],
});
