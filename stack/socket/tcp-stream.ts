// TCP connections and listeners with promises.

import { Errno } from '../errno.ts';
import { How, Ready } from '../tcp/tcp.ts';
import { Gate, type Timeouts, type WaitOptions } from './gate.ts';
import { endOf, type SocketAddress, SocketError, type SocketHandle } from './socket-handle.ts';

// Ours: the longest chunk of a read that names no size.
const CHUNK_BYTES = 262_144;
const NOTHING = new Uint8Array(1);

/** A connection. Reading and writing are independent; several reads, or writes, are served in their order. */
export class TcpStream implements AsyncIterable<Uint8Array> {
  readonly local: SocketAddress | undefined;
  readonly remote: SocketAddress | undefined;
  /** Fulfilled when the socket is closed: both ways ended, aborted, or failed. */
  readonly closed: Promise<void>;
  private readonly handle: SocketHandle;
  private readonly timeouts: Timeouts;
  private readonly readable = new Gate();
  private readonly writable = new Gate();
  private error = 0;
  private hasEnded = false; // the peer's side
  private isEnding = false; // ours
  private reads: Promise<unknown> = Promise.resolve();
  private writes: Promise<unknown> = Promise.resolve();

  /** @param handle of an established connection; the stream owns it. */
  constructor(handle: SocketHandle, timeouts: Timeouts) {
    this.handle = handle;
    this.timeouts = timeouts;
    this.local = endOf(handle, 'local');
    this.remote = endOf(handle, 'peer');
    handle.onReadable = () => this.readable.open();
    handle.onWritable = () => this.writable.open();
    handle.onError = (errno) => {
      this.error = errno;
    };
    this.closed = new Promise((resolve) => {
      handle.onClose = () => {
        this.readable.open();
        this.writable.open();
        resolve();
      };
    });
  }

  /**
   * The next bytes: into `target` (a view of its filled part is returned), or a new chunk of at most so many. Undefined at
   * the end of the stream.
   */
  read(target: Uint8Array | number = CHUNK_BYTES, options: WaitOptions = {}): Promise<Uint8Array | undefined> {
    const read = (): Promise<Uint8Array> =>
      this.timeouts.until(this.readable, options, 'read', () => this.take(target));
    const result = this.reads.then(read, read);
    this.reads = result.catch(() => undefined);
    return result.then((bytes) => (bytes === NOTHING ? undefined : bytes));
  }

  /** Writes all of `bytes`, which stay as they are until it is fulfilled: when all are in the send buffer. */
  write(bytes: Uint8Array, options: WaitOptions = {}): Promise<void> {
    let done = 0;
    const put = (): true | undefined => {
      while (done < bytes.length) {
        this.check('write');
        const n = this.handle.write(bytes, done, bytes.length - done);
        if (n === -Errno.EAGAIN) return undefined;
        if (n < 0) throw this.fault(n, 'write');
        done += n;
      }
      return true;
    };
    const write = async (): Promise<void> => {
      if (this.isEnding) throw this.fault(Errno.EPIPE, 'write');
      await this.timeouts.until(this.writable, options, 'write', put);
    };
    const result = this.writes.then(write);
    this.writes = result.catch(() => undefined);
    return result;
  }

  /** Sends the end of the stream behind all that was written. The peer may go on sending. */
  end(): Promise<void> {
    const result = this.writes.then(() => {
      if (this.isEnding || !this.handle.isOpen) return;
      this.isEnding = true;
      this.handle.shutdown(How.Write);
      this.closeIfDone();
    });
    this.writes = result;
    return result;
  }

  /** Resets the connection; whoever waits fails with ECONNABORTED. */
  abort(): void {
    this.error ||= Errno.ECONNABORTED;
    this.handle.abort();
  }

  /** Closes both ways at once; what was written is still delivered. */
  close(): void {
    this.error ||= Errno.ECONNABORTED;
    this.handle.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    for (let bytes = await this.read(); bytes; bytes = await this.read()) yield bytes;
  }

  /** Bytes, NOTHING at the end, undefined if there are none yet. */
  private take(target: Uint8Array | number): Uint8Array | undefined {
    if (this.hasEnded) return NOTHING;
    const { handle } = this;
    const waiting = handle.isOpen ? handle.sockets.available(handle.number) : 0;
    const into = waiting > 0 ? bufferFor(target, waiting) : NOTHING;
    if (waiting <= 0) this.check('read');
    const n = handle.read(into, 0, waiting > 0 ? into.length : 1);
    if (n === -Errno.EAGAIN) return undefined;
    if (n < 0) throw this.fault(n, 'read');
    if (n > 0) return into === NOTHING ? into.slice(0, n) : into.subarray(0, n);
    this.hasEnded = true;
    this.closeIfDone();
    return NOTHING;
  }

  private closeIfDone(): void {
    if (this.hasEnded && this.isEnding) this.handle.close();
  }

  private check(syscall: string): void {
    if (this.error !== 0) throw this.fault(this.error, syscall);
  }

  /** The error of a call. One that ends the connection closes the handle. */
  private fault(errno: number, syscall: string): SocketError {
    const { remote } = this;
    const code = Math.abs(errno);
    if (code !== Errno.EPIPE) {
      this.error ||= code;
      this.handle.close();
    }
    return new SocketError(errno, syscall, remote);
  }
}

/** A listening socket: `accept`, or iterate over its connections. */
export class Listener implements AsyncIterable<TcpStream> {
  readonly local: SocketAddress;
  private readonly handle: SocketHandle;
  private readonly timeouts: Timeouts;
  private readonly adopt: (number: number) => SocketHandle;
  private readonly gate = new Gate();

  constructor(handle: SocketHandle, timeouts: Timeouts, adopt: (number: number) => SocketHandle) {
    this.handle = handle;
    this.timeouts = timeouts;
    this.adopt = adopt;
    this.local = endOf(handle, 'local')!;
    handle.onReadable = () => this.gate.open();
    handle.onClose = () => this.gate.open();
  }

  /** The next connection; ECONNABORTED when the listener was closed. */
  accept(options: WaitOptions = {}): Promise<TcpStream> {
    return this.timeouts.until(this.gate, options, 'accept', () => {
      if (!this.handle.isOpen) throw new SocketError(Errno.ECONNABORTED, 'accept', this.local);
      const h = this.handle.sockets.accept(this.handle.number);
      if (h === -Errno.EAGAIN) return undefined;
      if (h < 0) throw new SocketError(h, 'accept', this.local);
      return new TcpStream(this.adopt(h), this.timeouts);
    });
  }

  close(): void {
    this.handle.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TcpStream, void, void> {
    while (this.handle.isOpen) {
      const stream = await this.accept().catch((error: unknown) => {
        if (this.handle.isOpen) throw error;
      });
      if (!stream) return;
      yield stream;
    }
  }
}

/** True if a connection attempt is over, well or not. */
export const isDecided = (ready: number): boolean => (ready & (Ready.Out | Ready.Error | Ready.Hup)) !== 0;

function bufferFor(target: Uint8Array | number, waiting: number): Uint8Array {
  return typeof target === 'number' ? new Uint8Array(Math.min(target, waiting)) : target;
}
