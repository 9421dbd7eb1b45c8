import { FORWARD } from './cases/forward.ts';
import { describeTables } from './lib/tables.ts';

describeTables('forwards whole packets', FORWARD);
