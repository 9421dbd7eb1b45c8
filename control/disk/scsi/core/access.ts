// Owns which commands a reservation lets through: the tables of SPC-4 section 5.13.1 and SBC-3 section 4.17, and of SPC-2
// section 5.5.1 for RESERVE(6). Knows no task and no medium.
import { field } from '../codec/bytes.ts';
import type { NamedForm } from '../codec/commands.ts';
import {
  holds,
  isExclusiveAccess,
  letsRegistrantsThrough,
  type Nexus,
  type PersistentState,
  registrationOf,
} from './reservations.ts';

/** A few commands are harmless with some values of their fields, and count as any other otherwise. */
function isHarmless(form: NamedForm, cdb: Uint8Array): boolean {
  if (form.name === 'PREVENT ALLOW MEDIUM REMOVAL') return ((cdb[4] ?? 0) & 0x03) === 0;
  // START with no power condition (SBC-3 table 13).
  if (form.name === 'START STOP UNIT') return ((cdb[4] ?? 0) & 0x01) !== 0 && field(cdb, 4, 1) >> 4 === 0;
  return false;
}

/** Whether the reservation of somebody else is in the way of a command. PERSISTENT RESERVE OUT judges itself. */
export function conflicts(state: PersistentState, nexus: Nexus, form: NamedForm, cdb: Uint8Array): boolean {
  const { reservation } = state;
  if (reservation === undefined || isHarmless(form, cdb)) return false;
  if (form.access !== 'read' && form.access !== 'write') return false;
  const own = registrationOf(state, nexus);
  if (holds(state, own)) return false;
  if (own !== undefined && letsRegistrantsThrough(reservation.type)) return false;
  return form.access === 'write' || isExclusiveAccess(reservation.type);
}

/** Whether RESERVE(6) of another nexus is in the way; those of persistent reservations conflict with any RESERVE(6). */
export function conflictsWithReserve(isHolder: boolean, form: NamedForm, cdb: Uint8Array): boolean {
  if (form.access === 'persistent in' || form.access === 'persistent out') return true;
  return !isHolder && !form.besideReserve && !isHarmless(form, cdb);
}
