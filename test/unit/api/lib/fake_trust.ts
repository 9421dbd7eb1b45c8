// Owns a TrustPort without a store: it keeps what it was asked, and answers what a test sets.
import type { Members, NewToken, NewUser, Renewed } from '../../../../control/api/schema.ts';
import type { TrustPort } from '../../../../control/api/trust_port.ts';

export const MEMBERS: Members = {
  standing: 'member',
  cluster: '9f2c4b1a6d3e8f70',
  authority: { number: 1, epoch: 1, expiresAtMs: 2_082_585_600_000, isReplacing: false, waitsFor: [] },
  nodes: [
    {
      name: 'mux1',
      roles: ['mux'],
      self: true,
      joinedAtMs: 1_767_225_600_000,
      serial: '5B1C0E44A2F03D91',
      expiresAtMs: 1_769_817_600_000,
      isFormer: false,
      state: 'member',
    },
  ],
  users: [
    {
      name: 'alice',
      role: 'operate',
      serial: '5B1C0E44A2F03D92',
      expiresAtMs: 1_798_761_600_000,
      isFormer: false,
    },
  ],
  tokens: [],
};

export const NEW_TOKEN: NewToken = {
  id: '0a1b2c3d4e5f6071',
  token: 'holdfast-join-AQAB',
  expiresAtMs: 1_767_229_200_000,
};

const PEM = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n';

export const NEW_USER: NewUser = {
  name: 'alice',
  role: 'operate',
  certificate: PEM,
  serial: '5B1C0E44A2F03D92',
  expiresAtMs: 1_798_761_600_000,
  authority: PEM,
  urls: ['https://198.51.100.1:7443'],
};

export class FakeTrust implements TrustPort {
  readonly #called: (method: string, argument: unknown) => void;

  constructor(called: (method: string, argument: unknown) => void) {
    this.#called = called;
  }

  summary = () => ({ standing: 'member' as const, expiresAtMs: 1_769_817_600_000 });
  findings = async () => [];

  members = async (): Promise<Members> => this.#members('members', undefined);
  init = async (): Promise<Members> => this.#members('init', undefined);
  join = async (token: string): Promise<Members> => this.#members('join', token);
  leave = async (options: { force: boolean }): Promise<Members> => this.#members('leave', options);
  rotate = async (what: string): Promise<Members> => this.#members('rotate', what);
  removeToken = async (id: string): Promise<Members> => this.#members('removeToken', id);
  setUser = async (name: string, role: string): Promise<Members> => this.#members('setUser', { name, role });
  removeUser = async (name: string): Promise<Members> => this.#members('removeUser', name);

  async createToken(given: object): Promise<NewToken> {
    this.#called('createToken', given);
    return NEW_TOKEN;
  }

  async addUser(given: object): Promise<NewUser> {
    this.#called('addUser', given);
    return NEW_USER;
  }

  async renew(node: string, publicKey: string, addresses: readonly string[]): Promise<Renewed> {
    this.#called('renew', { node, publicKey, addresses });
    return { certificate: PEM, authority: 1, epoch: 1, authorities: [{ id: 1, certificate: PEM }] };
  }

  #members(method: string, argument: unknown): Members {
    this.#called(method, argument);
    return MEMBERS;
  }
}
