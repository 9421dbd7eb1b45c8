// Owns the keys of the store that muxes and their leader share. They are not under CLUSTER_PREFIX: what is written each
// second must not wake everybody who follows the objects.
//
//   version/head             the newest version: JSON, small
//   version/blobs/DIGEST     what the head names: deflated JSON and slot tables, by the SHA-256 of the value
//   version/garbage          digests that no head names, with the version since which; deleted later
//   mux/registrations/NAME   a mux that follows versions, under the lease of its node
//   mux/ids/ID               the name that has an id, until the node is removed for good
//   mux/acks/NAME            what it has in effect, and its reports
//   mux/suspects/OBSERVER/NAME  OBSERVER does not hear NAME, under the observer's lease
//   mux/keys/ask             keys of in-band headers

export const HEAD_KEY = 'version/head';
export const GARBAGE_KEY = 'version/garbage';
const BLOBS_PREFIX = 'version/blobs/';

export const MUX_PREFIX = 'mux/';
export const REGISTRATIONS_PREFIX = 'mux/registrations/';
export const MUX_IDS_PREFIX = 'mux/ids/';
export const ACKS_PREFIX = 'mux/acks/';
export const SUSPECTS_PREFIX = 'mux/suspects/';
export const ASK_KEYS_KEY = 'mux/keys/ask';

/** The name of the election. */
export const LEADER_ELECTION = 'cluster/leader';

export const blobKey = (digest: string): string => BLOBS_PREFIX + digest;
export const registrationKey = (name: string): string => REGISTRATIONS_PREFIX + name;
export const muxIdKey = (id: number): string => MUX_IDS_PREFIX + id;
export const ackKey = (name: string): string => ACKS_PREFIX + name;
export const suspectKey = (observer: string, name: string): string => `${SUSPECTS_PREFIX}${observer}/${name}`;
