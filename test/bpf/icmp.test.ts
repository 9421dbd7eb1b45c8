import { ICMP } from './cases/icmp.ts';
import { describeTables } from './lib/tables.ts';

describeTables('answers and forwards ICMP', ICMP);
