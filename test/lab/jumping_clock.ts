// Loaded before a daemon of the lab: its wall clock can be made to jump, by SIGUSR2, forth and back. The kernel's own clock
// is that of the whole machine, and its monotonic one does not jump by definition.
const JUMP_MS = 26 * 3_600_000;

const HostDate = globalThis.Date;
let offsetMs = 0;

class JumpingDate extends HostDate {
  constructor(...args: ConstructorParameters<typeof Date> | []) {
    if (args.length === 0) super(JumpingDate.now());
    else super(...args);
  }

  static override now(): number {
    return HostDate.now() + offsetMs;
  }
}

globalThis.Date = JumpingDate as DateConstructor;
process.on('SIGUSR2', () => {
  offsetMs = offsetMs === 0 ? JUMP_MS : 0;
});
