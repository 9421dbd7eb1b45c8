// Owns the keys of the store that muxes and their leader share. They are not under CLUSTER_PREFIX: what is written each
// second must not wake everybody who follows the objects.
//
//   version/head             the newest version: JSON, small
//   version/blobs/DIGEST     what the head names: deflated JSON and slot tables, by the SHA-256 of the value
//   version/garbage          digests that no head names, with the version since which; deleted later
//   mux/registrations/NAME   a mux that follows versions, under the lease of its node
//   mux/ids/ID               who has an id, until the node is removed for good
//   mux/acks/NAME            what it has in effect, and its reports
//   mux/suspects/OBSERVER/NAME  OBSERVER does not hear NAME, under the observer's lease
//   mux/cut/ID.INCARNATION   an operator has taken its registration away while its lease ran, until no version has it
//   mux/health/NAME          what the health checks of a mux found, under its lease
//   mux/drains/NAME          an operator has NAME leave; until it is undone, or the node is removed for good
//   mux/keys/ask             keys of in-band headers
//   mux/keys/known/NAME      which of them NAME has
//   namespace/key            what handles of the file service are signed with
//   mux/time                 the cluster's time of some moment, for who comes next to begin with

/** Of versions: the head comes together with its parts, or after them. */
export const VERSIONS_PREFIX = 'version/';
export const HEAD_KEY = 'version/head';
export const GARBAGE_KEY = 'version/garbage';
export const BLOBS_PREFIX = 'version/blobs/';

export const MUX_PREFIX = 'mux/';
export const REGISTRATIONS_PREFIX = 'mux/registrations/';
export const MUX_IDS_PREFIX = 'mux/ids/';
export const ACKS_PREFIX = 'mux/acks/';
export const SUSPECTS_PREFIX = 'mux/suspects/';
export const HEALTH_PREFIX = 'mux/health/';
export const CUTS_PREFIX = 'mux/cut/';
export const DRAINS_PREFIX = 'mux/drains/';
export const ASK_KEYS_KEY = 'mux/keys/ask';
export const KNOWN_KEYS_PREFIX = 'mux/keys/known/';
export const CLUSTER_TIME_KEY = 'mux/time';
export const FILE_KEY_KEY = 'namespace/key';

/** The name of the election. */
export const LEADER_ELECTION = 'cluster/leader';

export const blobKey = (digest: string): string => BLOBS_PREFIX + digest;
export const registrationKey = (name: string): string => REGISTRATIONS_PREFIX + name;
export const muxIdKey = (id: number): string => MUX_IDS_PREFIX + id;
export const ackKey = (name: string): string => ACKS_PREFIX + name;
export const healthKey = (name: string): string => HEALTH_PREFIX + name;
export const cutKey = (candidate: string): string => CUTS_PREFIX + candidate;
export const drainKey = (name: string): string => DRAINS_PREFIX + name;
export const knownKeysKey = (name: string): string => KNOWN_KEYS_PREFIX + name;
export const suspectKey = (observer: string, name: string): string => `${SUSPECTS_PREFIX}${observer}/${name}`;
