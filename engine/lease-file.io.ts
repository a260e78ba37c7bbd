// Leases in a file, so that a gateway that is started again gives everybody the address that he had.

import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';

const FILE_BYTES_MAX = 64 << 20;

/** One file, written as a whole or not at all. What goes wrong is told once, until it goes right again. */
export class LeaseFile {
  private readonly path: string;
  private readonly tell: (line: string) => void;
  private isFailing = false;

  constructor(path: string, tell: (line: string) => void) {
    this.path = path;
    this.tell = tell;
  }

  /** What was saved last; undefined if nothing was, or it cannot be read. */
  read(): string | undefined {
    try {
      const { size } = statSync(this.path);
      if (size <= FILE_BYTES_MAX) return readFileSync(this.path, 'utf8');
      this.tell(`${this.path}: ${size} bytes, more than ${FILE_BYTES_MAX}: starting without leases`);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT') this.tell(`${this.path}: cannot be read (${code}): starting without leases`);
    }
    return undefined;
  }

  /** A reader, or a crash, finds the old text or the new one. */
  write(text: string): void {
    const draft = `${this.path}.new`;
    try {
      writeFileSync(draft, text, { mode: 0o600 });
      renameSync(draft, this.path);
      this.isFailing = false;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      removeFile(draft);
      if (!this.isFailing) this.tell(`${this.path}: leases cannot be saved (${code}); they are kept in memory`);
      this.isFailing = true;
    }
  }

  /** There is nothing to remember. */
  remove(): void {
    removeFile(this.path);
  }
}

/** As far as the host lets us. */
function removeFile(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // It stays; whoever put something else there keeps it.
  }
}
