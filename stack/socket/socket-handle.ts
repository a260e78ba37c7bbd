// One socket with callbacks: the level on which streams of promises, and other APIs, are built.

import { format } from '../address.ts';
import { Errno, errnoName } from '../errno.ts';
import { Ready } from '../tcp/tcp.ts';
import { SocketName, SocketOption, type Sockets } from './sockets.ts';

/** What went wrong, with the fields that Node's system errors have. */
export class SocketError extends Error {
  override readonly name = 'SocketError';
  /** `ECONNREFUSED`, as errno.ts names it. */
  readonly code: string;
  /** Negative, as Node has it. */
  readonly errno: number;
  readonly syscall: string;
  readonly address: string | undefined;
  readonly port: number | undefined;

  /** @param errno of either sign. `where` is the address that the call was about. */
  constructor(errno: number, syscall: string, where?: { address: string; port: number }) {
    const code = errnoName(errno);
    super(where ? `${syscall} ${code} ${where.address}:${where.port}` : `${syscall} ${code}`);
    this.code = code;
    this.errno = -Math.abs(errno);
    this.syscall = syscall;
    this.address = where?.address;
    this.port = where?.port;
  }
}

/** Where handles live, and who is told that a call left work for the stack. */
export interface HandleOwner {
  readonly sockets: Sockets;
  wake(): void;
  forget(handle: SocketHandle): void;
}

/** A socket whose news are told by callbacks, from `react` only: never within a call of its own. */
export class SocketHandle {
  readonly number: number;
  onReadable: (() => void) | undefined;
  onWritable: (() => void) | undefined;
  /** A pending error; `errno` is positive. The socket stays open. */
  onError: ((errno: number) => void) | undefined;
  onClose: (() => void) | undefined;
  private readonly owner: HandleOwner;
  private open = true;

  constructor(owner: HandleOwner, number: number) {
    this.owner = owner;
    this.number = number;
  }

  get sockets(): Sockets {
    return this.owner.sockets;
  }

  get isOpen(): boolean {
    return this.open;
  }

  /** Bits of `Ready`. */
  get ready(): number {
    return this.open ? this.sockets.poll(this.number) : Ready.Error;
  }

  /** As `Sockets.receive`: bytes, 0 at the end of a stream, -EAGAIN. What it frees may have to be told to the peer. */
  read(into: Uint8Array, from: number, count: number): number {
    if (!this.open) return -Errno.EBADF;
    const n = this.sockets.receive(this.number, into, from, count, 0);
    if (n > 0) this.owner.wake();
    return n;
  }

  /** As `Sockets.send`: bytes taken, -EAGAIN. */
  write(bytes: Uint8Array, from: number, count: number): number {
    if (!this.open) return -Errno.EBADF;
    const n = this.sockets.send(this.number, bytes, from, count, 0);
    if (n > 0) this.owner.wake();
    return n;
  }

  /** Sends the end of the stream behind what was written. */
  shutdown(how: number): number {
    const result = this.open ? this.sockets.shutdown(this.number, how) : -Errno.EBADF;
    this.owner.wake();
    return result;
  }

  /** Takes the pending error, positive; 0 if none. */
  takeError(): number {
    return this.open ? this.sockets.getOption(this.number, SocketOption.Error) : 0;
  }

  close(): void {
    this.finish(false);
  }

  /** Resets the connection. */
  abort(): void {
    this.finish(true);
  }

  /** Called by the owner when the socket has news. */
  react(): void {
    const { ready } = this;
    if ((ready & Ready.Error) !== 0 && this.onError) {
      const errno = this.takeError();
      if (errno > 0) this.onError(errno);
    }
    if (this.open && (ready & (Ready.In | Ready.ReadHup | Ready.Hup | Ready.Error)) !== 0) this.onReadable?.();
    if (this.open && (ready & (Ready.Out | Ready.Hup | Ready.Error)) !== 0) this.onWritable?.();
  }

  private finish(isAbort: boolean): void {
    if (!this.open) return;
    this.open = false;
    if (isAbort) this.sockets.abort(this.number);
    else this.sockets.close(this.number);
    this.owner.forget(this);
    this.owner.wake();
    this.onClose?.();
  }
}

/** Address, port and scope of one end, for people and programs. */
export interface SocketAddress {
  readonly address: string;
  readonly port: number;
  readonly iface: number;
}

const name = new SocketName();

/** The local or remote end of a handle; undefined if it has none. */
export function endOf(handle: SocketHandle, which: 'local' | 'peer'): SocketAddress | undefined {
  if (!handle.isOpen || handle.sockets[which](handle.number, name) < 0) return undefined;
  return { address: format(name.address), port: name.port, iface: name.iface };
}
