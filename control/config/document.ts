// Owns reading and writing what `apply` takes and `export` gives: services, pools and backends as YAML or JSON.
import { stringify } from 'yaml';
import type { Document } from './objects.ts';
import { documentSchema } from './objects.ts';
import { parseSource } from './yaml_source.ts';

/** @throws Failure `invalid` with every mistake, its line and column. */
export function parseDocument(text: string, fileName: string): Document {
  return parseSource(text, fileName, documentSchema, 'invalid');
}

export function formatDocument(document: Document): string {
  return stringify(document, { aliasDuplicateObjects: false });
}
