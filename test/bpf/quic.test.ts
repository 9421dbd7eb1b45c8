import { QUIC } from './cases/quic.ts';
import { describeTables } from './lib/tables.ts';

describeTables('routes by QUIC connection ID', QUIC);
