// Placeholder until the leader's file of this name is merged.
import type { Entry } from '../store/contract.ts';
import type { Acknowledgement, Registration } from './version.ts';

export const encodeAcknowledgement = (it: Acknowledgement): string => JSON.stringify(it);
export const decodeAcknowledgement = (entry: Entry): Acknowledgement => JSON.parse(entry.value);
export const encodeRegistration = (it: Registration): string => JSON.stringify(it);
export const decodeRegistration = (entry: Entry): Registration => JSON.parse(entry.value);
