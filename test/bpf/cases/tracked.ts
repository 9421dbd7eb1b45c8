// Every rule of a tracked slot, by who the mux is to the flow (flow-state: "What a mux does with a packet of a tracked
// slot").
import type { Row } from '../lib/tracked_case.ts';
import { alone } from './tracked/alone.ts';
import { asker, takes } from './tracked/asker.ts';
import { backup } from './tracked/backup.ts';
import { owner, ownerInPlace } from './tracked/owner.ts';
import { protocols } from './tracked/protocols.ts';
import { refused } from './tracked/refused.ts';
import { returns, takesBack } from './tracked/returned.ts';

export const TRACKED: Readonly<Record<string, readonly Row[]>> = {
  asker,
  'owner of its own question': ownerInPlace,
  owner,
  backup,
  'asker that is answered': takes,
  protocols,
  alone,
  'after a new flow found no place': refused,
  'backup without a place': returns,
  'owner whose backup has no place': takesBack,
};
