// Argument checks. Each throws a TypeError that names the argument and says what was expected and what came.

export function describe(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'undefined')
    return String(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'object') return value.constructor?.name ?? 'an object';
  return typeof value;
}

export function checkString(value: unknown, name: string): string {
  if (typeof value !== 'string') throw new TypeError(`${name} must be a string, got ${describe(value)}`);
  if (value === '') throw new TypeError(`${name} must not be empty`);
  // C would silently stop at the NUL and use another name than the one given.
  if (value.includes('\0')) throw new TypeError(`${name} must not contain a NUL character`);
  return value;
}

export function checkInteger(value: unknown, name: string, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw new TypeError(`${name} must be an integer from ${min} to ${max}, got ${describe(value)}`);
  }
  return value;
}

export function checkBoolean(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw new TypeError(`${name} must be a boolean, got ${describe(value)}`);
  return value;
}

export function checkFunction(value: unknown, name: string): void {
  if (typeof value !== 'function') throw new TypeError(`${name} must be a function, got ${describe(value)}`);
}

/** An options object: undefined stands for none. */
export function checkOptions<T extends object>(value: T | undefined, name: string): Partial<T> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null) {
    throw new TypeError(`${name} must be an object, got ${describe(value)}`);
  }
  return value;
}

/** The bytes that any view covers, without a copy. */
export function checkView(value: unknown, name: string): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  throw new TypeError(`${name} must be a Uint8Array or another view of bytes, got ${describe(value)}`);
}

export function checkSize(value: unknown, name: string, sizeBytes: number): Uint8Array {
  const bytes = checkView(value, name);
  if (bytes.byteLength !== sizeBytes) {
    throw new TypeError(`${name} must be ${sizeBytes} bytes, got ${bytes.byteLength}`);
  }
  return bytes;
}

export function checkOneOf<T extends string>(value: unknown, name: string, allowed: readonly T[]): T {
  if (!allowed.includes(value as T)) {
    throw new TypeError(`${name} must be one of ${allowed.join(', ')}, got ${describe(value)}`);
  }
  return value as T;
}

export const U32_MAX = 0xffff_ffff;
