// Socket calls of a gateway: who takes what is for addresses of nobody, on an interface that accepts any address.
//
// A stream socket that intercepts is a listener: `accept` gives connections whose SYN-ACK is withheld, with `local` as the
// address that the peer wants; `admit` or `refuse` decides (tcp/intercept.ts). A UDP socket that intercepts receives what is
// for no other socket, with the wanted address and port in `message.target` and `message.info`, and answers from anywhere.

import type { Address } from '../address.ts';
import { Errno } from '../errno.ts';
import type { Tcp } from '../tcp/tcp.ts';
import type { Links } from './packet-socket.ts';
import { SocketKind, type SocketTable } from './socket-table.ts';
import type { Udp } from './udp.ts';

export class GatewaySockets {
  private readonly table: SocketTable;
  private readonly tcp: Tcp;
  private readonly udp: Udp;
  private readonly links: Links;

  constructor(table: SocketTable, tcp: Tcp, udp: Udp, links: Links) {
    this.table = table;
    this.tcp = tcp;
    this.udp = udp;
    this.links = links;
  }

  /**
   * What comes in by `iface`, which accepts any address, and is for no socket is for `h`: connections or datagrams. 0, -EINVAL, -EADDRINUSE, -EOPNOTSUPP.
   */
  intercept(h: number, iface: number, backlog = 0): number {
    const i = this.table.indexOf(h);
    const kind = this.table.kindOf(h);
    if (!this.links.get(iface)) return kind === SocketKind.Free ? -Errno.EBADF : -Errno.EINVAL;
    if (kind === SocketKind.Stream) return this.tcp.intercept(i, iface, backlog);
    if (kind === SocketKind.Udp) return this.udp.intercept(i, iface);
    return kind === SocketKind.Free ? -Errno.EBADF : -Errno.EOPNOTSUPP;
  }

  /** Sends the SYN-ACK of a connection that is withheld: 0, -EINVAL. */
  admit(h: number): number {
    return this.table.kindOf(h) === SocketKind.Stream ? this.tcp.admit(this.table.indexOf(h)) : -Errno.EBADF;
  }

  /** Ends a connection that is withheld, by a reset (-1) or ICMP "unreachable" with `code`; `h` is free then. 0, -EINVAL. */
  refuse(h: number, code: number): number {
    if (this.table.kindOf(h) !== SocketKind.Stream) return -Errno.EBADF;
    const refused = this.tcp.refuse(this.table.indexOf(h), code);
    if (refused === 0) this.table.remove(h);
    return refused;
  }

  /** Sends a datagram from any source, by an intercepting socket; see `Udp.sendFrom`. */
  sendFrom(
    h: number,
    bytes: Uint8Array,
    from: number,
    count: number,
    source: Address,
    sourcePort: number,
    target: Address,
    port: number,
  ): number {
    if (this.table.kindOf(h) !== SocketKind.Udp) return -Errno.EBADF;
    return this.udp.sendFrom(this.table.indexOf(h), bytes, from, count, source, sourcePort, target, port);
  }
}
