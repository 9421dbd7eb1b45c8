// Owns which role each operation of the API needs: one table, to be read in one look. What is not in it needs admin. Pure.
import type { ApiRole, CallerRole } from '../config/api_roles.ts';

/** By operationId. */
export const PERMISSIONS: Readonly<Record<string, ApiRole>> = {
  getStatus: 'view',
  getStats: 'view',
  getMetrics: 'view',
  getOpenApi: 'view',
  listServices: 'view',
  getService: 'view',
  listPools: 'view',
  getPool: 'view',
  listBackends: 'view',
  getBackend: 'view',
  exportDocument: 'view',
  planDocument: 'view',
  explain: 'view',
  doctor: 'view',
  streamEvents: 'view',
  listNodes: 'view',
  getNode: 'view',
  getKeys: 'view',
  getChanges: 'view',
  listFlows: 'view',
  topFlows: 'view',
  getFlow: 'view',
  listAffinities: 'view',
  getAffinity: 'view',
  getMembers: 'view',
  getNamespace: 'view',
  exportNamespace: 'view',
  getFilesStats: 'view',
  listFileClients: 'view',

  // Packets of clients, not just figures about them.
  capture: 'operate',
  attach: 'operate',
  detach: 'operate',
  drainNode: 'operate',
  releaseAffinity: 'operate',
  patchBackend: 'operate',
  // But for storages.
  changeNamespace: 'operate',

  createService: 'admin',
  patchService: 'admin',
  deleteService: 'admin',
  createPool: 'admin',
  patchPool: 'admin',
  deletePool: 'admin',
  createBackend: 'admin',
  deleteBackend: 'admin',
  applyDocument: 'admin',
  importNamespace: 'admin',
  removeNode: 'admin',
  rotateKeys: 'admin',
  initCluster: 'admin',
  joinCluster: 'admin',
  leaveCluster: 'admin',
  rotateCluster: 'admin',
  createToken: 'admin',
  removeToken: 'admin',
  addUser: 'admin',
  setUser: 'admin',
  removeUser: 'admin',
  // Of a node for itself: no user has use for it.
  renewCertificate: 'admin',
};

/** What daemons ask of each other. */
export const PEER_OPERATIONS: ReadonlySet<string> = new Set([
  'getStatus',
  'listFlows',
  'topFlows',
  'getFlow',
  'listAffinities',
  'getAffinity',
  // Of muxes, each for its own tables.
  'releaseAffinity',
  'renewCertificate',
]);

const RANK: Readonly<Record<ApiRole, number>> = { view: 1, operate: 2, admin: 3 };

export function roleFor(operation: string): ApiRole {
  return Object.hasOwn(PERMISSIONS, operation) ? PERMISSIONS[operation]! : 'admin';
}

/** Whether that may do less than before. What nodes may stays. */
export function isLess(role: CallerRole, before: CallerRole): boolean {
  return role !== 'peer' && before !== 'peer' && RANK[role] < RANK[before];
}

export function isAllowed(operation: string, role: CallerRole): boolean {
  if (role === 'peer') return PEER_OPERATIONS.has(operation);
  return RANK[role] >= RANK[roleFor(operation)];
}
