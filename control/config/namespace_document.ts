// Owns reading and writing what `namespace import` takes and `namespace export` gives, as YAML or JSON.
import { stringify } from 'yaml';
import { Failure } from '../lib/failure.ts';
import { type NamespaceDocument, namespaceDocumentSchema } from './namespace.ts';
import { parseSource } from './yaml_source.ts';

/** @throws Failure `invalid` with every mistake, its line and column. */
export function parseNamespace(text: string, fileName: string): NamespaceDocument {
  // What a failed command leaves of its output would remove everything.
  if (text.split('\n').every((line) => /^\s*(?:#|$)/.test(line))) {
    throw new Failure('invalid', `${fileName} is empty`, {
      remedy: 'to remove everything, write "links: []"',
    });
  }
  return parseSource(text, fileName, namespaceDocumentSchema, 'invalid');
}

export function formatNamespace(document: NamespaceDocument): string {
  return stringify(document, { aliasDuplicateObjects: false });
}
