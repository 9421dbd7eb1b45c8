// Owns unit attention conditions: which nexus is to be told what (SAM-5 section 5.14). Does not decide what happened.
import type { AdditionalSense } from '../codec/constants.ts';
import { ASC } from '../codec/constants.ts';

/** Of one nexus; further ones are kept as one that says that anything may have changed. */
export const ATTENTIONS_MAX = 16;

/** What makes all that was to be told before without meaning (SAM-5 table 47). */
const ABOVE_ALL: readonly number[] = [
  ASC.POWER_ON_OCCURRED,
  ASC.SCSI_BUS_RESET_OCCURRED,
  ASC.BUS_DEVICE_RESET_FUNCTION_OCCURRED,
];

export class Attentions {
  #pending: AdditionalSense[] = [];

  get first(): AdditionalSense | undefined {
    return this.#pending[0];
  }

  get all(): readonly AdditionalSense[] {
    return this.#pending;
  }

  raise(code: AdditionalSense): void {
    if (ABOVE_ALL.includes(code)) this.#pending = [];
    if (this.#pending.includes(code)) return;
    if (this.#pending.length === ATTENTIONS_MAX) this.#pending = [ASC.POWER_ON_OCCURRED];
    else this.#pending.push(code);
  }

  take(): AdditionalSense | undefined {
    return this.#pending.shift();
  }
}
