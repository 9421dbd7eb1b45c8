// Owns the shapes that many answers are made of.
import { z } from 'zod';
import { FAILURES } from '../../lib/failure.ts';

export const count = z.number().int().min(0);

/** Durations and ages as measured, with a fraction. */
export const milliseconds = z.number().min(0);

export const failureSchema = z.object({
  code: z.enum(Object.keys(FAILURES) as [keyof typeof FAILURES]),
  message: z.string(),
  cause: z.string().optional(),
  remedy: z.string().optional(),
});
