// The frames of all tables: where mutation and fuzzing start from.
import { DECAP } from '../cases/decap.ts';
import { FORWARD } from '../cases/forward.ts';
import { FRAGMENT } from '../cases/fragment.ts';
import { ICMP } from '../cases/icmp.ts';
import { MALFORMED } from '../cases/malformed.ts';
import { QUIC } from '../cases/quic.ts';
import { SERVICE } from '../cases/service.ts';
import { TOO_BIG } from '../cases/too_big.ts';

const TABLES = [FORWARD, SERVICE, QUIC, ICMP, TOO_BIG, FRAGMENT, MALFORMED, DECAP];

export const CORPUS: readonly Uint8Array[] = TABLES.flatMap((tables) =>
  Object.values(tables).flatMap((rows) => rows.map((row) => row.input)),
);
