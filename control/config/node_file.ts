// Owns reading a node's file: text to configuration, or to its mistakes. Where the file is, is control/io's.
import { z } from 'zod';
import type { NodeConfig } from './node.ts';
import { nodeConfigSchema } from './node.ts';
import { type Checked, checkSource, parseSource } from './yaml_source.ts';

export function checkNodeFile(text: string): Checked<NodeConfig> {
  return checkSource(text, nodeConfigSchema);
}

/** @throws Failure `configuration` with every mistake, its line and column. */
export function parseNodeFile(text: string, fileName: string): NodeConfig {
  return parseSource(text, fileName, nodeConfigSchema, 'configuration');
}

/** For editors, and for those who would rather read a schema: JSON Schema, draft 2020-12. */
export function nodeFileJsonSchema(): object {
  return {
    ...z.toJSONSchema(nodeConfigSchema, { io: 'input' }),
    title: 'Configuration of holdfastd, local to a node',
  };
}

/** A node's name from its host's, all of it: hosts of two sites may differ only in what follows the first dot. */
export function nodeNameOf(hostname: string): string {
  const name = hostname
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]/g, '-')
    .slice(0, 63)
    .replaceAll(/^-+|-+$/g, '');
  return name === '' ? 'node' : name;
}
