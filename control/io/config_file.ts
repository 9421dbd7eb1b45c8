// Owns reading the node's file from disk, or doing without it.
import { readFileSync } from 'node:fs';
import { NODE_CONFIG_PATH, type NodeConfig } from '../config/node.ts';
import { parseNodeFile } from '../config/node_file.ts';
import { Failure } from '../lib/failure.ts';

/**
 * Without `path`, the file at the usual place, and the defaults where there is none.
 * @throws Failure `configuration` where the file cannot be read or has mistakes.
 */
export function readNodeConfig(path: string | undefined): NodeConfig {
  const fileName = path ?? NODE_CONFIG_PATH;
  let text: string;
  try {
    text = readFileSync(fileName, 'utf8');
  } catch (cause) {
    if (path === undefined && (cause as NodeJS.ErrnoException).code === 'ENOENT')
      return parseNodeFile('', fileName);
    throw new Failure('configuration', `${fileName} cannot be read`, { cause });
  }
  return parseNodeFile(text, fileName);
}
