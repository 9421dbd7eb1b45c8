// The protocol between the two ends of this benchmark: as little as a file protocol can be, so that what is measured is
// the execution of requests and not a codec.
//
// Request: length u32, case u32, number u32, count u32, offset u64, 8 spare. Reply: length u32, number u32, error i32,
// attributes or entry (120 bytes in all), data.

export const REQUEST_BYTES = 32;
export const REPLY_BYTES = 120;
export const CASES = ['null', 'getattr', 'read', 'create'] as const;
export type Case = (typeof CASES)[number];

/** How requests are executed. */
export const MODELS = {
  loop: 'at once where the kernel answers from memory, else on threads of the addon',
  pool: 'on threads of the addon',
  here: 'on the thread of the connection',
  workers: 'on worker_threads that take from a queue',
} as const;
export type Model = keyof typeof MODELS;
