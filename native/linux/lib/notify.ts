// The service manager's notification protocol: sd_notify(3), sd_watchdog_enabled(3).
import { binding } from './binding.ts';
import { native } from './errors.ts';
import { checkObject, checkText } from './rtnetlink/check.ts';

const SOCKET_PATH_LIMIT_BYTES = 107; // sun_path less its NUL

/**
 * Sends `READY=1`, `{ STATUS: 'draining' }`, … to the socket named by $NOTIFY_SOCKET. False where there is none,
 * that is, where no service manager waits for it.
 */
export function sdNotify(
  state: string | Readonly<Record<string, string | number>>,
  environment: NodeJS.ProcessEnv = process.env,
): boolean {
  const text = typeof state === 'string' ? checkText(state, 'state') : assignments(state);
  const address = environment.NOTIFY_SOCKET;
  if (address === undefined || address === '') return false;
  if (!/^[/@]./s.test(address) || address.includes('\0')) {
    throw new TypeError(`NOTIFY_SOCKET is neither an absolute path nor an abstract '@' name: ${address}`);
  }
  if (Buffer.byteLength(address) > SOCKET_PATH_LIMIT_BYTES) {
    throw new RangeError(`NOTIFY_SOCKET has more than ${SOCKET_PATH_LIMIT_BYTES} bytes: ${address}`);
  }
  native('sd_notify', () => binding.sendNotification(address, text));
  return true;
}

/**
 * How long the service manager waits for `WATCHDOG=1` before it considers this process hung; undefined where it
 * does not. Notify twice as often.
 */
export function watchdogIntervalMs(environment: NodeJS.ProcessEnv = process.env): number | undefined {
  const interval = environment.WATCHDOG_USEC;
  if (interval === undefined) return undefined;
  const pid = environment.WATCHDOG_PID;
  if (pid !== undefined && decimal(pid, 'WATCHDOG_PID') !== process.pid) return undefined;
  return decimal(interval, 'WATCHDOG_USEC') / 1000;
}

function assignments(state: Readonly<Record<string, string | number>>): string {
  checkObject(state, 'state');
  const lines = Object.entries(state).map(([name, value]) => {
    if (!/^[A-Z_][A-Z0-9_]*$/.test(name)) throw new TypeError(`not a notification variable: ${name}`);
    if (typeof value !== 'string' && typeof value !== 'number') {
      throw new TypeError(`${name} is neither a string nor a number`);
    }
    if (/[\0\n]/.test(`${value}`)) throw new TypeError(`${name} contains a line break or NUL`);
    return `${name}=${value}`;
  });
  if (lines.length === 0) throw new TypeError('state is empty');
  return lines.join('\n');
}

function decimal(text: string, name: string): number {
  const value = /^\d{1,18}$/.test(text) ? Number(text) : 0;
  if (value <= 0) throw new TypeError(`${name} is not a positive integer: ${text}`);
  return value;
}
