// Owns the options that every command has.
import type { Given, Options } from './command.ts';
import { SOCKET_DEFAULT, VARIABLES } from './connection.ts';

export const TIMEOUT_SECONDS_DEFAULT = 10;

export const GLOBAL_OPTIONS = {
  json: { type: 'flag', describe: 'Print JSON' },
  socket: {
    type: 'text',
    describe: `Unix socket of holdfastd, or ${VARIABLES.socket}`,
    standard: SOCKET_DEFAULT,
    source: 'files',
  },
  url: { type: 'text', describe: `https://HOST:PORT of another host's holdfastd, or ${VARIABLES.url}` },
  profile: {
    type: 'text',
    describe: `File of users add: where the cluster is and who we are, or ${VARIABLES.profile}`,
    source: 'files',
  },
  certificate: {
    type: 'text',
    describe: `With --url: PEM file with our certificate, or ${VARIABLES.certificate}`,
    source: 'files',
  },
  key: {
    type: 'text',
    describe: `With --url: PEM file with its key, or ${VARIABLES.key}`,
    source: 'files',
  },
  authority: {
    type: 'text',
    describe: `With --url: PEM file of who signed the daemon's certificate, or ${VARIABLES.authority}`,
    source: 'files',
  },
  timeout: {
    type: 'number',
    describe: 'Seconds to wait for an answer',
    standard: String(TIMEOUT_SECONDS_DEFAULT),
  },
  version: { type: 'flag', describe: 'Print the version' },
  noColor: { type: 'flag', describe: 'No colours, as NO_COLOR=1 does' },
} as const satisfies Options;

export type GlobalGiven = Given<typeof GLOBAL_OPTIONS>;
