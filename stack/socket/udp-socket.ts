// UDP sockets with promises.

import { type Address, format } from '../address.ts';
import { Errno } from '../errno.ts';
import { Gate, type Timeouts, type WaitOptions } from './gate.ts';
import { endOf, type SocketAddress, SocketError, type SocketHandle } from './socket-handle.ts';

const DATAGRAM_BYTES_MAX = 65_527;

/** A datagram and where it came from. */
export interface ReceivedDatagram extends SocketAddress {
  readonly bytes: Uint8Array;
  /** Where it was sent to: a group or broadcast address, or one of ours. */
  readonly target: string;
  readonly hops: number;
  readonly trafficClass: number;
  /** The sender's address as words, to answer without parsing. */
  readonly source: Address;
}

/** A UDP socket, bound, and connected if it was made with a peer. */
export class UdpSocket {
  private readonly handle: SocketHandle;
  private readonly timeouts: Timeouts;
  private readonly wake: () => void;
  private readonly readable = new Gate();
  private readonly writable = new Gate();
  private readonly buffer = new Uint8Array(DATAGRAM_BYTES_MAX);
  private error = 0;

  constructor(handle: SocketHandle, timeouts: Timeouts, wake: () => void) {
    this.handle = handle;
    this.timeouts = timeouts;
    this.wake = wake;
    handle.onReadable = () => this.readable.open();
    handle.onWritable = () => this.writable.open();
    handle.onError = (errno) => {
      this.error = errno;
    };
    handle.onClose = () => {
      this.readable.open();
      this.writable.open();
    };
  }

  /** For options and groups: the handle in `Sockets`. */
  get number(): number {
    return this.handle.number;
  }

  get local(): SocketAddress | undefined {
    return endOf(this.handle, 'local');
  }

  /** Sends one datagram, to `to` or the connected peer. Fulfilled when it is in the output. EMSGSIZE, ECONNREFUSED, … */
  async send(
    bytes: Uint8Array,
    to?: { address: Address; port: number; iface?: number },
    options: WaitOptions = {},
  ): Promise<void> {
    const { handle } = this;
    await this.timeouts.until(this.writable, options, 'send', () => {
      this.check('send');
      const { sockets, number } = handle;
      const n = to
        ? sockets.sendTo(number, bytes, 0, bytes.length, to.address, to.port, to.iface ?? 0)
        : sockets.send(number, bytes, 0, bytes.length);
      if (n === -Errno.EAGAIN) return undefined;
      if (n < 0) throw new SocketError(n, 'send', to && { address: format(to.address), port: to.port });
      this.wake();
      return true;
    });
  }

  /** The next datagram; throws an error that was reported for the connected peer. */
  receive(options: WaitOptions = {}): Promise<ReceivedDatagram> {
    const { handle, buffer } = this;
    return this.timeouts.until(this.readable, options, 'recv', () => {
      this.check('recv');
      const { sockets } = handle;
      const n = sockets.receiveFrom(handle.number, buffer, 0, buffer.length);
      if (n === -Errno.EAGAIN) return undefined;
      if (n < 0) throw new SocketError(n, 'recv', endOf(handle, 'peer'));
      const { source, target, port, iface, hops, trafficClass } = sockets.message;
      const bytes = buffer.slice(0, n);
      const address = format(source);
      return { bytes, address, port, iface, target: format(target), hops, trafficClass, source: source.slice() };
    });
  }

  close(): void {
    this.handle.close();
  }

  private check(syscall: string): void {
    if (!this.handle.isOpen) throw new SocketError(Errno.EBADF, syscall);
    const { error } = this;
    this.error = 0;
    if (error !== 0) throw new SocketError(error, syscall, endOf(this.handle, 'peer'));
  }
}
