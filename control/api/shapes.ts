// Owns deriving schemas from those of objects: what a patch of an object may say. Pure.
import { z } from 'zod';

type Shape = Readonly<Record<string, z.ZodType>>;

/**
 * A JSON merge patch (RFC 7396) of an object with this shape: every field may be absent, and those that the object
 * need not have may be null. Defaults are left out: a patch changes nothing that it does not name. Whether the patched
 * object is valid is its own schema's to say.
 */
export function patchOf(shape: Shape): z.ZodType<Record<string, unknown>> {
  const fields = Object.entries(shape).map(([name, field]) => [name, patchOfField(field)]);
  return z.strictObject(Object.fromEntries(fields));
}

function patchOfField(field: z.ZodType): z.ZodType {
  const bare = unwrap(field);
  const value = bare instanceof z.ZodObject ? patchOf(bare.shape as Shape) : bare;
  const patch = (bare === field ? value : value.nullable()).optional();
  return field.description === undefined ? patch : patch.describe(field.description);
}

/** The object as it is stored and answered: fields with a default are there. */
export function complete<T extends z.ZodObject>(schema: T): T {
  const fields = Object.entries(schema.shape as Shape).map(([name, field]) => {
    const bare = field instanceof z.ZodDefault ? (field.removeDefault() as z.ZodType) : field;
    return [name, field.description === undefined ? bare : bare.describe(field.description)];
  });
  return z.object(Object.fromEntries(fields)) as unknown as T;
}

function unwrap(field: z.ZodType): z.ZodType {
  if (field instanceof z.ZodOptional) return unwrap(field.unwrap() as z.ZodType);
  if (field instanceof z.ZodDefault || field instanceof z.ZodPrefault) {
    return unwrap(field.unwrap() as z.ZodType);
  }
  return field;
}
