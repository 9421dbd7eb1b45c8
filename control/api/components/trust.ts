// Owns the shapes of trust as OpenAPI shows them: their names, and an example of each.
import { named } from '../components.ts';
import {
  addUserRequestSchema,
  createTokenRequestSchema,
  initRequestSchema,
  joinClusterRequestSchema,
  leaveRequestSchema,
  membersSchema,
  newTokenSchema,
  newUserSchema,
  renewedSchema,
  renewRequestSchema,
  rotateRequestSchema,
  setUserRequestSchema,
} from '../schema/trust.ts';

const serial = '5B1C0E44A2F03D9187C6E1D2A4B39F07';
const certificate = '-----BEGIN CERTIFICATE-----\n...\n-----END CERTIFICATE-----\n';
const publicKey = '-----BEGIN PUBLIC KEY-----\n...\n-----END PUBLIC KEY-----\n';
const nowMs = 1_767_225_600_000;
const monthMs = 30 * 86_400_000;

export const Members = named('Members', membersSchema, {
  standing: 'member',
  cluster: '9f2c4b1a6d3e8f70',
  authority: { number: 1, epoch: 1, expiresAtMs: nowMs + 120 * monthMs, isReplacing: false, waitsFor: [] },
  nodes: [
    {
      name: 'mux1',
      roles: ['mux'],
      self: true,
      joinedAtMs: nowMs,
      serial,
      expiresAtMs: nowMs + monthMs,
      isFormer: false,
      state: 'member',
    },
  ],
  users: [{ name: 'alice', role: 'operate', serial, expiresAtMs: nowMs + 12 * monthMs, isFormer: false }],
  tokens: [
    {
      id: '0a1b2c3d4e5f6071',
      state: 'open',
      roles: ['mux'],
      createdAtMs: nowMs,
      expiresAtMs: nowMs + 3_600_000,
    },
  ],
});
export const InitRequest = named('InitRequest', initRequestSchema, {});
export const JoinClusterRequest = named('JoinClusterRequest', joinClusterRequestSchema, {
  token: 'holdfast-join-AQAB...',
});
export const LeaveRequest = named('LeaveRequest', leaveRequestSchema, { force: false });
export const RotateRequest = named('RotateRequest', rotateRequestSchema, { what: 'certificates' });
export const CreateTokenRequest = named('CreateTokenRequest', createTokenRequestSchema, {
  roles: ['mux'],
  ttlMs: 3_600_000,
});
export const NewToken = named('NewToken', newTokenSchema, {
  id: '0a1b2c3d4e5f6071',
  token: 'holdfast-join-AQAB...',
  expiresAtMs: nowMs + 3_600_000,
});
export const AddUserRequest = named('AddUserRequest', addUserRequestSchema, {
  name: 'alice',
  role: 'operate',
  publicKey,
  days: 365,
});
export const SetUserRequest = named('SetUserRequest', setUserRequestSchema, { role: 'view' });
export const NewUser = named('NewUser', newUserSchema, {
  name: 'alice',
  role: 'operate',
  certificate,
  serial,
  expiresAtMs: nowMs + 12 * monthMs,
  authority: certificate,
  urls: ['https://198.51.100.1:7443'],
});
export const RenewRequest = named('RenewRequest', renewRequestSchema, {
  publicKey,
  addresses: ['198.51.100.1'],
});
export const Renewed = named('Renewed', renewedSchema, {
  certificate,
  authority: 1,
  epoch: 1,
  authorities: [{ id: 1, certificate }],
});
