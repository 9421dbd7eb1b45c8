import { MALFORMED } from './cases/malformed.ts';
import { describeTables } from './lib/tables.ts';

describeTables('judges malformed packets', MALFORMED);
