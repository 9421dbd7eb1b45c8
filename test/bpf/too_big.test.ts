import { TOO_BIG } from './cases/too_big.ts';
import { describeTables } from './lib/tables.ts';

describeTables('says what fits', TOO_BIG);
