// Owns persistent reservations as SPC-4 section 5.13 has them: who is registered, who holds what, and what each service
// action of PERSISTENT RESERVE OUT makes of it. A pure function of state and request: it stores, sends and aborts nothing.

import { type InitiatorPort, initiatorKey } from '../codec/command.ts';
import { type AdditionalSense, ASC, RESERVATION_TYPE, type ReservationType } from '../codec/constants.ts';
import {
  type MoveParameters,
  NO_KEY,
  type PersistentParameters,
  type ReservationKey,
} from '../codec/persistent.ts';

/** Registrations of one unit; more are refused with 55/04. */
export const REGISTRATIONS_MAX = 1024;

/** An I_T nexus: which initiator port through which target port. */
export interface Nexus {
  readonly initiator: InitiatorPort;
  readonly targetPort: number;
}

export interface Registration {
  readonly initiator: InitiatorPort;
  /** Nothing with ALL_TG_PT: the initiator is registered through every target port. */
  readonly targetPort: number | undefined;
  readonly key: ReservationKey;
}

export interface Reservation {
  readonly type: ReservationType;
  /** Nothing with the types for all registrants: each of them holds it. */
  readonly holder: Registration | undefined;
}

export interface PersistentState {
  /** PRGENERATION, 32 bits. */
  readonly generation: number;
  readonly registrations: readonly Registration[];
  readonly reservation: Reservation | undefined;
}

export const NO_RESERVATIONS: PersistentState = { generation: 0, registrations: [], reservation: undefined };

export interface Attention {
  readonly of: Registration;
  readonly code: AdditionalSense;
}

export type Verdict =
  | {
      readonly outcome: 'done';
      readonly state: PersistentState;
      readonly attentions: readonly Attention[];
      /** Whose tasks are to be aborted before the answer: PREEMPT AND ABORT. */
      readonly abort: readonly Registration[];
    }
  | { readonly outcome: 'conflict' }
  | {
      readonly outcome: 'refused';
      readonly code: AdditionalSense;
      readonly byte?: number;
      readonly inCdb?: true;
    };

const CONFLICT: Verdict = { outcome: 'conflict' };

function refused(code: AdditionalSense, byte?: number): Verdict {
  return byte === undefined ? { outcome: 'refused', code } : { outcome: 'refused', code, byte };
}

function done(
  state: PersistentState,
  attentions: readonly Attention[] = [],
  abort: readonly Registration[] = [],
): Verdict {
  return { outcome: 'done', state, attentions, abort };
}

const REGISTRANTS_ONLY: readonly number[] = [
  RESERVATION_TYPE.WRITE_EXCLUSIVE_REGISTRANTS_ONLY,
  RESERVATION_TYPE.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY,
];
const ALL_REGISTRANTS: readonly number[] = [
  RESERVATION_TYPE.WRITE_EXCLUSIVE_ALL_REGISTRANTS,
  RESERVATION_TYPE.EXCLUSIVE_ACCESS_ALL_REGISTRANTS,
];
const EXCLUSIVE_ACCESS: readonly number[] = [
  RESERVATION_TYPE.EXCLUSIVE_ACCESS,
  RESERVATION_TYPE.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY,
  RESERVATION_TYPE.EXCLUSIVE_ACCESS_ALL_REGISTRANTS,
];

export const isForAllRegistrants = (type: number): boolean => ALL_REGISTRANTS.includes(type);
/** Registered initiators are let through: registrants only, or all registrants. */
export const letsRegistrantsThrough = (type: number): boolean =>
  REGISTRANTS_ONLY.includes(type) || ALL_REGISTRANTS.includes(type);
export const isExclusiveAccess = (type: number): boolean => EXCLUSIVE_ACCESS.includes(type);

export function sameInitiator(a: InitiatorPort, b: InitiatorPort): boolean {
  return initiatorKey(a) === initiatorKey(b);
}

export function isOf(registration: Registration, nexus: Nexus): boolean {
  return (
    sameInitiator(registration.initiator, nexus.initiator) &&
    (registration.targetPort === undefined || registration.targetPort === nexus.targetPort)
  );
}

export function registrationOf(state: PersistentState, nexus: Nexus): Registration | undefined {
  return state.registrations.find((each) => isOf(each, nexus));
}

export function holds(state: PersistentState, registration: Registration | undefined): boolean {
  if (registration === undefined || state.reservation === undefined) return false;
  const { holder } = state.reservation;
  return holder === undefined || sameRegistration(holder, registration);
}

/** Of one nexus there is one registration; its key may change. */
function sameRegistration(a: Registration, b: Registration): boolean {
  return a.targetPort === b.targetPort && sameInitiator(a.initiator, b.initiator);
}

const nextGeneration = (state: PersistentState): number => (state.generation + 1) % 0x1_0000_0000;

/** REGISTER and REGISTER AND IGNORE EXISTING KEY (SPC-4 sections 5.13.7 and 5.13.11.2). */
export function register(
  state: PersistentState,
  nexus: Nexus,
  parameters: PersistentParameters,
  ignoreExistingKey: boolean,
): Verdict {
  const own = registrationOf(state, nexus);
  const { key, serviceActionKey, initiators } = parameters;
  if (!ignoreExistingKey && key !== (own?.key ?? NO_KEY)) return CONFLICT;
  // SPEC_I_PT is for a REGISTER of a nexus that is not registered (SPC-4 table 121).
  if (initiators !== undefined && (ignoreExistingKey || own !== undefined))
    return refused(ASC.INVALID_FIELD_IN_PARAMETER_LIST, 20);
  if (own !== undefined)
    return serviceActionKey === NO_KEY ? unregister(state, own) : rekey(state, own, serviceActionKey);
  if (serviceActionKey === NO_KEY) return done(state);

  const targetPort = parameters.allTargetPorts ? undefined : nexus.targetPort;
  const added: Registration[] = [];
  for (const initiator of [nexus.initiator, ...(initiators ?? [])]) {
    const registration: Registration = { initiator, targetPort, key: serviceActionKey };
    if (added.some((each) => sameInitiator(each.initiator, initiator))) continue;
    // All are registered or none is. One that is known already, be it through another port, keeps its key.
    const known = state.registrations.some(
      (each) =>
        sameInitiator(each.initiator, initiator) &&
        (each.targetPort === undefined || targetPort === undefined || each.targetPort === targetPort),
    );
    if (known) return CONFLICT;
    added.push(registration);
  }
  if (state.registrations.length + added.length > REGISTRATIONS_MAX)
    return refused(ASC.INSUFFICIENT_REGISTRATION_RESOURCES);
  return done({
    ...state,
    generation: nextGeneration(state),
    registrations: [...state.registrations, ...added],
  });
}

/** Another key for who is registered already; its reservation stays. */
function rekey(state: PersistentState, own: Registration, key: ReservationKey): Verdict {
  const changed: Registration = { ...own, key };
  const { reservation } = state;
  return done({
    generation: nextGeneration(state),
    registrations: state.registrations.map((each) => (each === own ? changed : each)),
    reservation:
      reservation?.holder !== undefined && sameRegistration(reservation.holder, own)
        ? { ...reservation, holder: changed }
        : reservation,
  });
}

/** SPC-4 section 5.13.11.3: with the registration of its holder, or of the last registrant, a reservation ends. */
function unregister(state: PersistentState, own: Registration): Verdict {
  const registrations = state.registrations.filter((each) => each !== own);
  const after = { ...state, generation: nextGeneration(state), registrations };
  const { reservation } = state;
  if (reservation === undefined) return done(after);
  if (reservation.holder === undefined)
    return done(registrations.length === 0 ? { ...after, reservation: undefined } : after);
  if (!sameRegistration(reservation.holder, own)) return done(after);
  const told = REGISTRANTS_ONLY.includes(reservation.type) ? registrations : [];
  return done(
    { ...after, reservation: undefined },
    told.map((of) => ({ of, code: ASC.RESERVATIONS_RELEASED })),
  );
}

/** SPC-4 section 5.13.9. */
export function reserve(
  state: PersistentState,
  nexus: Nexus,
  parameters: PersistentParameters,
  type: ReservationType,
): Verdict {
  const own = registrationOf(state, nexus);
  if (own === undefined || own.key !== parameters.key) return CONFLICT;
  if (state.reservation !== undefined)
    return holds(state, own) && state.reservation.type === type ? done(state) : CONFLICT;
  const holder = isForAllRegistrants(type) ? undefined : own;
  return done({ ...state, reservation: { type, holder } });
}

/** SPC-4 section 5.13.11.2: who does not hold it releases nothing, and that is no error. */
export function release(
  state: PersistentState,
  nexus: Nexus,
  parameters: PersistentParameters,
  type: number,
): Verdict {
  const own = registrationOf(state, nexus);
  if (own === undefined || own.key !== parameters.key) return CONFLICT;
  const { reservation } = state;
  if (reservation === undefined || !holds(state, own)) return done(state);
  if (reservation.type !== type) return refused(ASC.INVALID_RELEASE_OF_PERSISTENT_RESERVATION);
  const told = letsRegistrantsThrough(type) ? state.registrations.filter((each) => each !== own) : [];
  return done(
    { ...state, reservation: undefined },
    told.map((of) => ({ of, code: ASC.RESERVATIONS_RELEASED })),
  );
}

/** SPC-4 section 5.13.11.6. */
export function clear(state: PersistentState, nexus: Nexus, parameters: PersistentParameters): Verdict {
  const own = registrationOf(state, nexus);
  if (own === undefined || own.key !== parameters.key) return CONFLICT;
  return done(
    { generation: nextGeneration(state), registrations: [], reservation: undefined },
    state.registrations
      .filter((each) => each !== own)
      .map((of) => ({ of, code: ASC.RESERVATIONS_PREEMPTED })),
  );
}

/** PREEMPT and PREEMPT AND ABORT (SPC-4 sections 5.13.11.4 and 5.13.11.5). */
export function preempt(
  state: PersistentState,
  nexus: Nexus,
  parameters: PersistentParameters,
  type: ReservationType,
  andAbort: boolean,
): Verdict {
  const own = registrationOf(state, nexus);
  if (own === undefined || own.key !== parameters.key) return CONFLICT;
  const { reservation } = state;
  const victimKey = parameters.serviceActionKey;
  const ofAll = reservation !== undefined && reservation.holder === undefined;
  if (victimKey === NO_KEY && !ofAll) return refused(ASC.INVALID_FIELD_IN_PARAMETER_LIST, 8);

  const everybody = ofAll && victimKey === NO_KEY;
  const matching = state.registrations.filter((each) => everybody || each.key === victimKey);
  if (matching.length === 0) return CONFLICT;
  const takesOver = everybody || reservation?.holder?.key === victimKey;
  // The one that asks keeps its registration where it takes over a reservation, also if the key is its own.
  const removed = matching.filter((each) => !(takesOver && each === own));
  const registrations = state.registrations.filter((each) => !removed.includes(each));
  const attentions: Attention[] = removed
    .filter((each) => each !== own)
    .map((of) => ({ of, code: ASC.REGISTRATIONS_PREEMPTED }));

  let after = reservation;
  if (takesOver) {
    after = { type, holder: isForAllRegistrants(type) ? undefined : own };
    if (reservation?.type !== type)
      for (const of of registrations)
        if (of !== own) attentions.push({ of, code: ASC.RESERVATIONS_RELEASED });
  } else if (ofAll && registrations.length === 0) after = undefined;
  return done(
    { generation: nextGeneration(state), registrations, reservation: after },
    attentions,
    andAbort ? removed.filter((each) => each !== own) : [],
  );
}

/** SPC-4 section 5.13.8: registers another nexus and hands it the reservation. */
export function registerAndMove(
  state: PersistentState,
  nexus: Nexus,
  parameters: MoveParameters,
  targetPorts: readonly number[],
): Verdict {
  const own = registrationOf(state, nexus);
  if (own === undefined || own.key !== parameters.key) return CONFLICT;
  const { reservation } = state;
  if (reservation?.holder === undefined || !sameRegistration(reservation.holder, own)) return CONFLICT;
  if (parameters.serviceActionKey === NO_KEY) return refused(ASC.INVALID_FIELD_IN_PARAMETER_LIST, 8);
  if (!targetPorts.includes(parameters.targetPort)) return refused(ASC.INVALID_FIELD_IN_PARAMETER_LIST, 18);
  const to: Nexus = { initiator: parameters.initiator, targetPort: parameters.targetPort };
  if (isOf(own, to)) return refused(ASC.INVALID_FIELD_IN_PARAMETER_LIST, 24);

  const known = registrationOf(state, to);
  const holder: Registration = {
    initiator: to.initiator,
    targetPort: known === undefined ? to.targetPort : known.targetPort,
    key: parameters.serviceActionKey,
  };
  const others = state.registrations.filter(
    (each) => each !== known && !(parameters.unregister && each === own),
  );
  if (others.length + 1 > REGISTRATIONS_MAX) return refused(ASC.INSUFFICIENT_REGISTRATION_RESOURCES);
  return done({
    generation: nextGeneration(state),
    registrations: [...others, holder],
    reservation: { ...reservation, holder },
  });
}
