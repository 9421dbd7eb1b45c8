import { FRAGMENT } from './cases/fragment.ts';
import { describeTables } from './lib/tables.ts';

describeTables('keeps fragments together', FRAGMENT);
