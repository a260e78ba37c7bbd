// Reads a lab from its file.

import { readFileSync, statSync } from 'node:fs';
import { UsageError } from '../core/assert.ts';
import { type Lab, readLab } from './lab.ts';

const FILE_BYTES_MAX = 4 << 20;

/** Throws `UsageError`: the file, the line where there is one, and what was expected. */
export function readLabFile(path: string): Lab {
  let text: string;
  try {
    const { size } = statSync(path);
    if (size > FILE_BYTES_MAX) throw new UsageError(`${path}: ${size} bytes; a lab has at most ${FILE_BYTES_MAX}`);
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${path}: cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  return readLab(text, path);
}
