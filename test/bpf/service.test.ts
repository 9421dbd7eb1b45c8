import { SERVICE } from './cases/service.ts';
import { describeTables } from './lib/tables.ts';

describeTables('finds the service and the flow', SERVICE);
