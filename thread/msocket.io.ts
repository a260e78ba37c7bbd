// Sockets of a stack as POSIX has them: calls that never block, and return what they did or a negated errno.

import {
  Errno,
  formatAddress,
  How,
  Ready,
  SocketError,
  SocketName,
  type SocketUser,
  type TcpOption,
} from '../stack/stack.ts';
import { type Parsed, type Place, parseEnd, placeOf, type StackContext } from './place.io.ts';

/** An end of a socket. */
export interface SocketEnd {
  readonly address: string;
  readonly port: number;
}

/** A message and where it came from. */
export interface Received extends SocketEnd {
  /** Bytes, or -errno. */
  readonly count: number;
}

const name = new SocketName();

/**
 * Opens a socket of a stack: family `Family.Inet`, `Inet6` or `Packet`, type `SocketType.Stream`, `Datagram` or `Raw`,
 * protocol 0 or a number. Throws `SocketError` (EAFNOSUPPORT, EINVAL, EPROTONOSUPPORT, EMFILE).
 */
export function msocket(context: StackContext, family: number, type: number, protocol = 0): MultiSocket {
  const place = placeOf(context);
  const h = place.sockets.socket(family, type, protocol);
  if (h < 0) throw new SocketError(h, 'socket');
  return new MultiSocket(place, h);
}

/** A socket. Addresses are text, with `%eth0` behind link-local ones; options are `SocketOption` and `TcpOption`. */
export class MultiSocket implements SocketUser {
  /** The stack's number of it; -1 when it is closed. */
  number: number;
  private readonly place: Place;
  private waiters: (() => void)[] = [];

  constructor(place: Place, number: number) {
    this.place = place;
    this.number = number;
    place.open.add(this);
    place.stack.sockets.claim(number, this);
  }

  bind(address: string, port = 0): number {
    return this.with(address, (end) => this.place.sockets.bind(this.number, end.address, port, end.iface));
  }

  /** -EINPROGRESS for streams; `ready(Ready.Out)` and then `takeError` say how it went. */
  connect(address: string, port = 0): number {
    return this.with(address, (end) => this.place.sockets.connect(this.number, end.address, port, end.iface));
  }

  listen(backlog = 511): number {
    return this.place.sockets.listen(this.number, backlog);
  }

  /** The next connection, or -EAGAIN and its like. */
  accept(): MultiSocket | number {
    const h = this.place.sockets.accept(this.number);
    return h < 0 ? h : new MultiSocket(this.place, h);
  }

  /** Bytes taken, or -errno. `flags` are `MessageFlag`. */
  send(bytes: Uint8Array, flags = 0): number {
    return this.woken(this.place.sockets.send(this.number, bytes, 0, bytes.length, flags));
  }

  sendTo(bytes: Uint8Array, address: string, port = 0): number {
    return this.with(address, (end) =>
      this.place.sockets.sendTo(this.number, bytes, 0, bytes.length, end.address, port, end.iface),
    );
  }

  /** Bytes in `into`, 0 at the end of a stream, or -errno. */
  recv(into: Uint8Array, flags = 0): number {
    return this.woken(this.place.sockets.receive(this.number, into, 0, into.length, flags));
  }

  /** As `recv`, with the source of a message. */
  recvFrom(into: Uint8Array, flags = 0): Received {
    const { sockets } = this.place;
    const count = this.woken(sockets.receiveFrom(this.number, into, 0, into.length, flags));
    if (count < 0) return { count, address: '', port: 0 };
    return { count, address: formatAddress(sockets.message.source), port: sockets.message.port };
  }

  /** `How.Read`, `How.Write` or `How.Both`. */
  shutdown(how: number = How.Both): number {
    return this.woken(this.place.sockets.shutdown(this.number, how));
  }

  setOption(option: number, value: number): number {
    return this.place.sockets.setOption(this.number, option, value);
  }

  getOption(option: number): number {
    return this.place.sockets.getOption(this.number, option);
  }

  setTcpOption(option: TcpOption, value: number): number {
    return this.place.sockets.setTcpOption(this.number, option, value);
  }

  getTcpOption(option: TcpOption): number {
    return this.place.sockets.getTcpOption(this.number, option);
  }

  /** getsockname(2); undefined if there is none. */
  get local(): SocketEnd | undefined {
    return this.endOf('local');
  }

  /** getpeername(2); undefined if there is none. */
  get peer(): SocketEnd | undefined {
    return this.endOf('peer');
  }

  /** poll(2) that does not wait: bits of `Ready`. */
  poll(): number {
    return this.number < 0 ? Ready.Error : this.place.sockets.poll(this.number);
  }

  /** poll(2): fulfilled with the bits when one of `events`, an error or a hang-up is there, or the socket is closed. */
  async ready(events: number): Promise<number> {
    this.place.alive.hold();
    try {
      for (;;) {
        const bits = this.poll();
        if ((bits & (events | Ready.Error | Ready.Hup)) !== 0) return bits;
        await new Promise<void>((resolve) => this.waiters.push(resolve));
      }
    } finally {
      this.place.alive.release();
    }
  }

  end(): void {
    this.close();
  }

  close(): number {
    const { number } = this;
    this.number = -1;
    this.place.open.delete(this);
    this.changed();
    return this.woken(this.place.sockets.close(number));
  }

  /** Resets a connection. */
  abort(): number {
    const { number } = this;
    this.number = -1;
    this.place.open.delete(this);
    this.changed();
    return this.woken(this.place.sockets.abort(number));
  }

  changed(): void {
    const { waiters } = this;
    this.waiters = [];
    for (const wake of waiters) wake();
  }

  private endOf(which: 'local' | 'peer'): SocketEnd | undefined {
    if (this.number < 0 || this.place.stack.sockets[which](this.number, name) < 0) return undefined;
    return { address: formatAddress(name.address), port: name.port };
  }

  private with(text: string, act: (end: Parsed) => number): number {
    const end = parseEnd(this.place, text);
    return end ? this.woken(act(end)) : -Errno.EINVAL;
  }

  private woken(result: number): number {
    this.place.wake();
    return result;
  }
}
