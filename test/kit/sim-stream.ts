// One direction of a connection in memory, and the far end that a test plays.

import { Errno } from '../../stack/stack.ts';

/** Bytes on their way, at most `bytesMax` of them. */
export class Pipe {
  readonly bytesMax: number;
  /** The writer is done; what is in it may still be read. */
  isEnded = false;
  private ring = new Uint8Array(256);
  private start = 0;
  private size = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.size;
  }

  get room(): number {
    return this.bytesMax - this.size;
  }

  /** Takes what there is room for. */
  write(bytes: Uint8Array, from: number, count: number): number {
    const n = Math.min(count, this.room);
    while (this.ring.length < this.size + n) this.grow();
    let at = (this.start + this.size) % this.ring.length;
    const first = Math.min(n, this.ring.length - at);
    this.ring.set(bytes.subarray(from, from + first), at);
    at = (at + first) % this.ring.length;
    this.ring.set(bytes.subarray(from + first, from + n), at);
    this.size += n;
    return n;
  }

  read(into: Uint8Array, from: number, count: number): number {
    const n = Math.min(count, this.size);
    const first = Math.min(n, this.ring.length - this.start);
    into.set(this.ring.subarray(this.start, this.start + first), from);
    into.set(this.ring.subarray(0, n - first), from + first);
    this.start = (this.start + n) % this.ring.length;
    this.size -= n;
    if (this.size === 0) {
      this.start = 0;
      if (this.ring.length > 4096) this.ring = new Uint8Array(256);
    }
    return n;
  }

  /** What was not read is gone. */
  clear(): void {
    this.size = 0;
    this.start = 0;
  }

  private grow(): void {
    const ring = new Uint8Array(2 * this.ring.length);
    const { size } = this;
    this.read(ring, 0, size);
    this.ring = ring;
    this.start = 0;
    this.size = size;
  }
}

/** The other end of a connection of the gateway's: a server or a client outside, played by the test. */
export class SimPeer {
  /** `192.0.2.7:80`, or the path of a Unix socket: where the gateway connected to, or whom the client connected to. */
  readonly where: string;
  /** Of a client: who it is. */
  readonly from: string;
  /** From the gateway to this end, and from this end to the gateway. */
  readonly arriving: Pipe;
  readonly leaving: Pipe;
  /** The gateway's end was aborted, or closed although there was something to read. */
  isReset = false;
  /** The gateway's descriptor is closed. */
  isClosed = false;
  /** What the gateway's end is told: ECONNRESET, or why it could not connect. */
  errno = 0;
  /** The error was told once: what follows is EPIPE, or the end of the stream. */
  isBroken = false;
  isConnected = false;
  private readonly changed: () => void;

  constructor(where: string, from: string, bytesMax: number, changed: () => void) {
    this.where = where;
    this.from = from;
    this.arriving = new Pipe(bytesMax);
    this.leaving = new Pipe(bytesMax);
    this.changed = changed;
  }

  /** Of a held connection: it stands. */
  accept(): void {
    this.isConnected = true;
    this.changed();
  }

  /** Of a held connection: it fails. */
  fail(errno: number): void {
    this.errno = errno;
    this.changed();
  }

  /** Bytes taken: as many as the gateway's receive buffer has room for. */
  write(bytes: Uint8Array): number {
    const n = this.leaving.write(bytes, 0, bytes.length);
    this.changed();
    return n;
  }

  /** What arrived, at most `bytesMax`. */
  read(bytesMax = 1 << 30): Uint8Array {
    const bytes = new Uint8Array(Math.min(bytesMax, this.arriving.bytes));
    this.arriving.read(bytes, 0, bytes.length);
    this.changed();
    return bytes;
  }

  /** Nothing more to read, and the gateway ended its stream. */
  get isAtEnd(): boolean {
    return this.arriving.bytes === 0 && this.arriving.isEnded;
  }

  /** The end of this side's stream. */
  end(): void {
    this.leaving.isEnded = true;
    this.changed();
  }

  /** A reset. As on Linux the gateway may still read what had arrived. */
  reset(): void {
    this.errno = Errno.ECONNRESET;
    this.leaving.isEnded = true;
    this.arriving.clear();
    this.changed();
  }
}
