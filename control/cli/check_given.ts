// Owns checking what is given against the schemas of the objects, in the words of the command line: the daemon would
// refuse it as well, but in those of the API.
import type { z } from 'zod';
import { plainMessage } from '../config/yaml_source.ts';
import { flagOf } from './command.ts';
import { UsageError } from './usage_error.ts';

/** Schemas by the name of the argument or option; `named` shows what is no option. */
export function checkGiven(
  given: Readonly<Record<string, unknown>>,
  schemas: Readonly<Record<string, z.ZodType>>,
  named: Readonly<Record<string, string>> = {},
): void {
  for (const [name, schema] of Object.entries(schemas)) {
    const value = given[name];
    if (value === undefined || (Array.isArray(value) && value.length === 0)) continue;
    const issue = schema.safeParse(value).error?.issues[0];
    if (issue === undefined) continue;
    const at = issue.path[0];
    const wrong: unknown = Array.isArray(value) && typeof at === 'number' ? value[at] : value;
    throw new UsageError(`${named[name] ?? flagOf(name)} cannot be "${String(wrong)}".`, {
      reason: sentence(plainMessage(issue.message)),
    });
  }
}

function sentence(text: string): string {
  return `${text[0]!.toUpperCase()}${text.slice(1)}.`;
}
