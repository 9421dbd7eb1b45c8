// Owns the roles of those who use the API over the network, lowest first. Which operation needs which is
// control/trust/permissions_core.ts.

/** view: see; operate: change what takes traffic, and undo it; admin: everything. */
export const API_ROLES = ['view', 'operate', 'admin'] as const;
export type ApiRole = (typeof API_ROLES)[number];

/** A daemon of the cluster has a role of its own: what daemons ask of each other, and no more. */
export type CallerRole = ApiRole | 'peer';
