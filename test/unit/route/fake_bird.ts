// Owns a stand-in for BIRD that tests can have fail: it speaks on a Unix socket as BIRD 2 does, reads the file that it is
// to include when it is told to, and remembers what it was told.
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';

type Protocol = { isUp: boolean; routes: string[] };

export class FakeBird {
  readonly #path: string;
  readonly #includePath: string;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #protocols = new Map<string, Protocol>();
  #waiting: { test: () => boolean; resolve: () => void }[] = [];
  /** Every command, in order. */
  readonly told: string[] = [];
  /** What it says to `configure`; undefined: it does it. */
  refusal: string | undefined;
  isSilent = false;
  isIncluding = true;

  constructor(path: string, includePath: string) {
    this.#path = path;
    this.#includePath = includePath;
  }

  async start(): Promise<void> {
    this.#read();
    const server = createServer((socket) => this.#talk(socket));
    server.listen(this.#path);
    await once(server, 'listening');
    this.#server = server;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server?.close();
    await (this.#server && once(this.#server, 'close'));
    this.#server = undefined;
  }

  /** What a router would hear of. */
  get routes(): string[] {
    return [...this.#protocols.values()].flatMap(({ isUp, routes }) => (isUp ? routes : [])).sort();
  }

  /** Somebody gives a protocol other routes, or disables it. */
  meddle(name: string, change: Partial<Protocol>): void {
    this.#protocols.set(name, { ...this.#protocols.get(name)!, ...change });
  }

  /** Resolves when `test` holds after some command. */
  until(test: () => boolean): Promise<void> {
    if (test()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ test, resolve }));
  }

  #talk(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    if (this.isSilent) return;
    socket.write('0001 BIRD 2.0.12 ready.\n');
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString();
      for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
        const command = text.slice(0, end);
        text = text.slice(end + 1);
        this.told.push(command);
        socket.write(this.#answer(command));
        for (const { test, resolve } of this.#waiting) if (test()) resolve();
        this.#waiting = this.#waiting.filter(({ test }) => !test());
      }
    });
  }

  #answer(command: string): string {
    if (command === 'configure') {
      if (this.refusal !== undefined)
        return `0002-Reading configuration from bird.conf\n8002 ${this.refusal}\n`;
      this.#read();
      return '0002-Reading configuration from bird.conf\n0003 Reconfigured\n';
    }
    if (command === 'disable "holdfast?"') {
      if (this.#protocols.size === 0) return '8003 No protocols match\n';
      for (const protocol of this.#protocols.values()) protocol.isUp = false;
      return '0009-holdfast4: disabled\n holdfast6: disabled\n0000 \n';
    }
    if (command === 'show status') return '1000-BIRD 2.0.12\n0013 Daemon is up and running\n';
    if (command === 'show bfd sessions') return '9001 There is no BFD protocol running\n';
    const row = ([name, { isUp }]: [string, Protocol]) =>
      `1002-${name}  Static     master4    ${isUp ? 'up' : 'down'}     10:49:12.312  \n`;
    if (command === 'show protocols') {
      const bgp = '1002-router4    BGP        ---        up     11:12:19.915  Established   \n';
      return `2002-Name       Proto      Table      State  Since         Info\n${[...this.#protocols].map(row).join('')}${bgp}0000 \n`;
    }
    if (command === 'show protocols all "holdfast?"') {
      if (this.#protocols.size === 0) return '8003 No protocols match\n';
      const all = [...this.#protocols].map(
        (it) =>
          `${row(it)}1006-    Routes:         ${it[1].isUp ? it[1].routes.length : 0} imported, 0 exported\n`,
      );
      return `2002-Name\n${all.join('')}0000 \n`;
    }
    return '9001 syntax error\n';
  }

  #read(): void {
    this.#protocols = new Map();
    if (!this.isIncluding || !existsSync(this.#includePath)) return;
    for (const part of readFileSync(this.#includePath, 'utf8').split('protocol static ').slice(1)) {
      const routes = [...part.matchAll(/route (\S+) blackhole( \{ .*65535,0)?/g)];
      this.#protocols.set(part.slice(0, part.indexOf(' ')), {
        isUp: true,
        routes: routes.map(
          ([, prefix, shutdown]) => `${prefix}${shutdown === undefined ? '' : ' last resort'}`,
        ),
      });
    }
  }
}
