// Socket calls of a gateway: who takes what is for addresses of nobody, on an interface that accepts any address, and how the
// bytes of connections go on without being copied.
//
// A stream socket that intercepts is a listener: `accept` gives connections whose SYN-ACK is withheld, with `local` as the
// address that the peer wants; `admit` or `refuse` decides (tcp/intercept.ts). A UDP socket that intercepts receives what is
// for no other socket, with the wanted address and port in `message.target` and `message.info`, and answers from anywhere.
// So does an echo socket with requests for addresses that are not the stack's, the identifier in `message.port`.

import type { Span } from '../../core/span.ts';
import type { Address } from '../address.ts';
import { Errno } from '../errno.ts';
import type { GuestError, GuestErrors } from '../net/guest-error.ts';
import { SendFlag, State, type Tcp } from '../tcp/tcp.ts';
import type { Echo } from './echo.ts';
import { MessageFlag } from './message-flag.ts';
import type { Links } from './packet-socket.ts';
import { SocketKind, type SocketTable } from './socket-table.ts';
import type { Udp } from './udp.ts';

/** What the calls work on. */
export interface GatewayParts {
  readonly table: SocketTable;
  readonly tcp: Tcp;
  readonly udp: Udp;
  readonly echo: Echo;
  readonly links: Links;
  /** Without them `sendError` is -EOPNOTSUPP. */
  readonly errors: GuestErrors | undefined;
}

export class GatewaySockets {
  private readonly table: SocketTable;
  private readonly tcp: Tcp;
  private readonly udp: Udp;
  private readonly echo: Echo;
  private readonly links: Links;
  private readonly errors: GuestErrors | undefined;

  constructor({ table, tcp, udp, echo, links, errors }: GatewayParts) {
    this.table = table;
    this.tcp = tcp;
    this.udp = udp;
    this.echo = echo;
    this.links = links;
    this.errors = errors;
  }

  /**
   * What comes in by `iface`, which accepts any address, and is for no socket is for `h`: connections, datagrams, or echo
   * requests (one socket of each family). 0, -EINVAL, -EADDRINUSE, -EOPNOTSUPP.
   */
  intercept(h: number, iface: number, backlog = 0): number {
    const i = this.table.indexOf(h);
    const kind = this.table.kindOf(h);
    if (!this.links.get(iface)) return kind === SocketKind.Free ? -Errno.EBADF : -Errno.EINVAL;
    if (kind === SocketKind.Stream) return this.tcp.intercept(i, iface, backlog);
    if (kind === SocketKind.Udp) return this.udp.intercept(i, iface);
    if (kind === SocketKind.Echo) return this.echo.intercept(i, iface);
    return kind === SocketKind.Free ? -Errno.EBADF : -Errno.EOPNOTSUPP;
  }

  /** Sends the SYN-ACK of a connection that is withheld: 0, -EINVAL. */
  admit(h: number): number {
    return this.table.kindOf(h) === SocketKind.Stream ? this.tcp.admit(this.table.indexOf(h)) : -Errno.EBADF;
  }

  /**
   * Ends a connection that is withheld, by a reset (`RESET`, -1), ICMP "unreachable" with `code`, or without an answer
   * (`SILENT`, -2); `h` is free then. 0, -EINVAL.
   */
  refuse(h: number, code: number): number {
    if (this.table.kindOf(h) !== SocketKind.Stream) return -Errno.EBADF;
    const refused = this.tcp.refuse(this.table.indexOf(h), code);
    if (refused === 0) this.table.remove(h);
    return refused;
  }

  /**
   * As `receive` of all there is, without copying: `span` says where the bytes are, until the next call for `h` or entry into
   * the stack. Bytes, 0 at the end of the stream, -EAGAIN, or the connection's error.
   */
  received(h: number, span: Span): number {
    return this.table.kindOf(h) === SocketKind.Stream ? this.tcp.received(this.table.indexOf(h), span) : -Errno.EBADF;
  }

  /** Takes the first `count` of the bytes that `received` showed: the window opens as if they were read. */
  consume(h: number, count: number): void {
    if (this.table.kindOf(h) === SocketKind.Stream) this.tcp.consume(this.table.indexOf(h), count);
  }

  /**
   * Room in the send ring, which grows to hold up to `wanted` more bytes: bytes, -EAGAIN (Out is told later), -EPIPE, the
   * connection's error, or -ENOBUFS if the slab is exhausted, which nobody tells the end of. Once there is room, `commit` follows before anything else of the stack is called, with 0 if nothing
   * was written.
   */
  room(h: number, span: Span, wanted: number): number {
    return this.table.kindOf(h) === SocketKind.Stream
      ? this.tcp.room(this.table.indexOf(h), span, wanted)
      : -Errno.EBADF;
  }

  /** Sends the first `count` bytes of `room`, which were written there: `count`. `flags`: `MessageFlag.More`. */
  commit(h: number, count: number, flags = 0): number {
    if (this.table.kindOf(h) !== SocketKind.Stream) return -Errno.EBADF;
    const more = (flags & MessageFlag.More) !== 0 ? SendFlag.More : 0;
    return this.tcp.commit(this.table.indexOf(h), count, more);
  }

  /** Where the connection is in its life: a value of `TcpState`, Closed for a handle of anything else. */
  state(h: number): State {
    return this.table.kindOf(h) === SocketKind.Stream ? this.tcp.stateOf(this.table.indexOf(h)) : State.Closed;
  }

  /** The hardware address that the SYN of a withheld connection came from, as a number of 48 bits; 0 if unknown. */
  senderOf(h: number): number {
    return this.table.kindOf(h) === SocketKind.Stream ? this.tcp.senderOf(this.table.indexOf(h)) : 0;
  }

  /** Bytes of the connection's buffers. */
  ringBytes(h: number): number {
    return this.table.kindOf(h) === SocketKind.Stream ? this.tcp.ringBytesOf(this.table.indexOf(h)) : 0;
  }

  /**
   * Sends a datagram or an echo message from any source, by an intercepting socket; see `Udp.sendFrom` and `Echo.sendFrom`
   * (ports mean nothing there). `hops` and `trafficClass` -1: the socket's.
   */
  sendFrom(
    h: number,
    bytes: Uint8Array,
    from: number,
    count: number,
    source: Address,
    sourcePort: number,
    target: Address,
    port: number,
    hops = -1,
    trafficClass = -1,
  ): number {
    const kind = this.table.kindOf(h);
    const e = this.table.indexOf(h);
    if (kind === SocketKind.Echo) return this.echo.sendFrom(e, bytes, from, count, source, target, hops, trafficClass);
    if (kind !== SocketKind.Udp) return -Errno.EBADF;
    return this.udp.sendFrom(e, bytes, from, count, source, sourcePort, target, port, hops, trafficClass);
  }

  /** Tells a guest that a packet of its own failed outside: 0 or -errno, see `GuestErrors.send`. */
  sendError(error: GuestError): number {
    return this.errors ? this.errors.send(error) : -Errno.EOPNOTSUPP;
  }
}
