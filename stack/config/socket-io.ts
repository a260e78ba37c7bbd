// The clients' datagrams and streams on the stack's own sockets.

import { type Address, ANY, ANY4, isIp4 } from '../address.ts';
import { Errno } from '../errno.ts';
import { ANY_IFACE } from '../ip.ts';
import { SocketOption } from '../socket/socket-options.ts';
import { Family, GroupChange, type Sockets, SocketType } from '../socket/sockets.ts';
import type { DatagramIo, DatagramOptions, DatagramSource, StreamIo } from './datagram-io.ts';

/** Datagram sockets; what `receiveFrom` wrote into `sockets.message` is the source. */
export class SocketDatagrams implements DatagramIo {
  private readonly sockets: Sockets;
  private readonly zoneOf: (target: Address) => number;

  /** @param zoneOf the interface of a link-local target; ANY_IFACE where the socket or the route tells. */
  constructor(sockets: Sockets, zoneOf: (target: Address) => number = () => ANY_IFACE) {
    this.sockets = sockets;
    this.zoneOf = zoneOf;
  }

  get source(): DatagramSource {
    const { source, port, iface, hops } = this.sockets.message;
    return { address: source, port, iface, hopLimit: hops };
  }

  open(options: DatagramOptions): number {
    const { sockets } = this;
    const h = sockets.socket(options.isIp6 ? Family.Inet6 : Family.Inet, SocketType.Datagram);
    if (h < 0) return h;
    const failed = this.prepare(h, options);
    if (failed >= 0) return h;
    sockets.close(h);
    return failed;
  }

  sendTo(handle: number, bytes: Uint8Array, target: Address, port: number): number {
    return this.sockets.sendTo(handle, bytes, 0, bytes.length, target, port, this.zoneOf(target));
  }

  receiveFrom(handle: number, into: Uint8Array): number {
    return this.sockets.receiveFrom(handle, into, 0, into.length);
  }

  close(handle: number): void {
    this.sockets.close(handle);
  }

  /** 0, or the first error. */
  private prepare(h: number, { isIp6, port, iface, group, hopLimit, isShared }: DatagramOptions): number {
    const { sockets } = this;
    const settings: [number, number][] = [];
    if (isShared) settings.push([SocketOption.ReuseAddress, 1]);
    if (iface !== 0) settings.push([SocketOption.Device, iface]);
    if (isIp6) settings.push([SocketOption.V6Only, 1]);
    if (hopLimit !== undefined) {
      settings.push([isIp6 ? SocketOption.UnicastHops : SocketOption.Ttl, hopLimit]);
      settings.push([isIp6 ? SocketOption.MulticastHops : SocketOption.MulticastTtl, hopLimit]);
    }
    if (group) {
      settings.push([isIp6 ? SocketOption.MulticastIface6 : SocketOption.MulticastIface, iface]);
      settings.push([isIp6 ? SocketOption.MulticastLoop6 : SocketOption.MulticastLoop, 0]);
    }
    for (const [option, value] of settings) {
      const failed = sockets.setOption(h, option, value);
      if (failed < 0) return failed;
    }
    const bound = sockets.bind(h, isIp6 ? ANY : ANY4, port, iface);
    return bound < 0 || !group ? bound : sockets.changeGroup(h, GroupChange.Join, group, iface);
  }
}

/** Streams. */
export class SocketStreams implements StreamIo {
  private readonly sockets: Sockets;
  private readonly zoneOf: (target: Address) => number;

  /** @param zoneOf as of `SocketDatagrams`. */
  constructor(sockets: Sockets, zoneOf: (target: Address) => number = () => ANY_IFACE) {
    this.sockets = sockets;
    this.zoneOf = zoneOf;
  }

  connect(target: Address, port: number): number {
    const { sockets } = this;
    const h = sockets.socket(isIp4(target) ? Family.Inet : Family.Inet6, SocketType.Stream);
    if (h < 0) return h;
    const failed = sockets.connect(h, target, port, this.zoneOf(target));
    if (failed === 0 || failed === -Errno.EINPROGRESS) return h;
    sockets.close(h);
    return failed;
  }

  /** A stream that still connects says -ENOTCONN or -EAGAIN; both mean: later. */
  send(handle: number, bytes: Uint8Array, from: number): number {
    const count = this.sockets.send(handle, bytes, from, bytes.length - from);
    return count === -Errno.ENOTCONN ? -Errno.EAGAIN : count;
  }

  receive(handle: number, into: Uint8Array, from: number): number {
    return this.sockets.receive(handle, into, from, into.length - from);
  }

  close(handle: number): void {
    this.sockets.close(handle);
  }
}
