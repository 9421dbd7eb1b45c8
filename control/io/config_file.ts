// Owns reading the node's file from disk, or doing without it.
import { isUtf8 } from 'node:buffer';
import { closeSync, openSync, readSync } from 'node:fs';
import { NODE_CONFIG_PATH, type NodeConfig } from '../config/node.ts';
import { parseNodeFile } from '../config/node_file.ts';
import { Failure } from '../lib/failure.ts';

/** A hundred times what every field with a comment takes. Whatever is longer is another file, or no file at all. */
export const NODE_FILE_BYTES_MAX = 1 << 20;

export type ReadConfig = {
  readonly config: NodeConfig;
  /** Undefined where there is no file at the usual place: everything is as by default. */
  readonly from: string | undefined;
};

/**
 * Without `path`, the file at the usual place, and the defaults where there is none.
 * @throws Failure `configuration` where the file cannot be read or has mistakes.
 */
export function readNodeConfig(path: string | undefined): ReadConfig {
  const fileName = path ?? NODE_CONFIG_PATH;
  let bytes: Uint8Array;
  try {
    bytes = readBounded(fileName);
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    if (path === undefined && isMissing) return { config: parseNodeFile('', fileName), from: undefined };
    throw new Failure('configuration', `${fileName} cannot be read`, {
      cause,
      ...(isMissing && { reason: 'There is no such file.' }),
    });
  }
  if (bytes.length > NODE_FILE_BYTES_MAX) {
    throw new Failure('configuration', `${fileName} is longer than ${NODE_FILE_BYTES_MAX} bytes`, {
      remedy: 'name the configuration of this node, which is a short file',
    });
  }
  return { config: parseNodeFile(decode(bytes, fileName), fileName), from: fileName };
}

/** At most one byte more than there may be: what is named may have no end. */
function readBounded(path: string): Uint8Array {
  const descriptor = openSync(path, 'r');
  try {
    const bytes = new Uint8Array(NODE_FILE_BYTES_MAX + 1);
    let length = 0;
    while (length < bytes.length) {
      const read = readSync(descriptor, bytes, length, bytes.length - length, null);
      if (read === 0) break;
      length += read;
    }
    return bytes.subarray(0, length);
  } finally {
    closeSync(descriptor);
  }
}

function decode(bytes: Uint8Array, fileName: string): string {
  if (isUtf8(bytes)) return new TextDecoder().decode(bytes);
  // Lines before it are well-formed: the newline is no part of any longer character.
  const lines = Buffer.from(bytes).toString('latin1').split('\n');
  const index = lines.findIndex((line) => !isUtf8(Buffer.from(line, 'latin1')));
  throw new Failure('configuration', `${fileName} is not UTF-8`, {
    reason: `${fileName}:${index + 1}:1: this line has bytes that are no characters of UTF-8`,
    remedy: `write it again in UTF-8, such as iconv -f latin1 -t utf8 ${fileName} does`,
  });
}
