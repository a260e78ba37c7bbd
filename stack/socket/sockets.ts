// The socket calls of one stack, as POSIX and Linux have them, by handle: they never block, and return 0 or more, or -errno.
//
// A handle is a small number, the lowest that is free. Behind it is a connection of `Tcp` or a row of `Endpoints`, which UDP,
// raw, echo and packet sockets share. Addresses are four words, IPv4 as ::ffff:a.b.c.d whatever the socket's family; an IPv6
// socket takes both unless V6Only. `iface` beside an address is its scope (sin6_scope_id), 0 for none. What is known about a
// received message is in `message` until the next call. A call only changes state or sends a message; whoever drives the
// stack polls it afterwards, and then asks `nextEvent` for the handles whose `poll` may have changed.

import { StateError, type StateReader, type StateWriter } from '../../core/state.ts';
import type { Address } from '../address.ts';
import { ANY, ANY4, assign, isIp4 } from '../address.ts';
import { Errno } from '../errno.ts';
import type { Paths, Sender } from '../ip.ts';
import type { Limits } from '../limits.ts';
import type { GuestErrors } from '../net/guest-error.ts';
import type { Shared } from '../shared.ts';
import { Ready, ReceiveFlag, SendFlag, State, type Tcp, type TcpOption } from '../tcp/tcp.ts';
import { Datagram } from './datagram-queue.ts';
import { Echo } from './echo.ts';
import { EndpointFlag, Endpoints, Field, setFilter } from './endpoints.ts';
import { GatewaySockets } from './gateway-sockets.ts';
import { type Groups, Memberships } from './memberships.ts';
import { MessageFlag } from './message-flag.ts';
import { type Links, PacketSockets } from './packet-socket.ts';
import type { Hosts } from './port-table.ts';
import { Raw } from './raw.ts';
import { getEndpointOption, namesIface, SocketOption, setEndpointOption, tcpOptionOf } from './socket-options.ts';
import { SocketKind, SocketTable } from './socket-table.ts';
import { Udp } from './udp.ts';

export { Datagram, DatagramFlag } from './datagram-queue.ts';
export { MessageFlag } from './message-flag.ts';
export { SocketOption } from './socket-options.ts';

/** Address families, Linux's numbers. */
export const Family = { Inet: 2, Inet6: 10, Packet: 17 } as const;
/** Socket types, Linux's numbers. */
export const SocketType = { Stream: 1, Datagram: 2, Raw: 3 } as const;
/** Protocols that `socket` takes beside 0 and, for raw sockets, any. */
export const SocketProtocol = { Icmp: 1, Tcp: 6, Udp: 17, Icmp6: 58 } as const;

const TYPES: readonly number[] = [
  0,
  SocketType.Stream,
  SocketType.Datagram,
  SocketType.Raw,
  SocketType.Datagram,
  SocketType.Raw,
];

/** What `changeGroup` does: RFC 3678's calls. */
export const GroupChange = {
  Join: 0,
  Leave: 1,
  JoinSource: 2,
  LeaveSource: 3,
  BlockSource: 4,
  UnblockSource: 5,
} as const;
export type GroupChange = (typeof GroupChange)[keyof typeof GroupChange];

/** Where a socket is, for getsockname and getpeername: written by the call. */
export class SocketName {
  readonly address: Address = new Int32Array(4);
  port = 0;
  iface = 0;
}

/** The rest of the stack, as far as sockets need it. */
export interface SocketParts {
  readonly tcp: Tcp;
  readonly paths: Paths;
  readonly sender: Sender;
  readonly hosts: Hosts;
  readonly links: Links;
  readonly groups: Groups;
  /** What a gateway tells its guests. */
  readonly errors?: GuestErrors;
}

/** Who has a socket in place of the promise API. */
export interface SocketUser {
  /** `poll` of `h` may have changed. Told from `dispatch` of the stack only, never from within a call. */
  changed(h: number): void;
}

/** All sockets of a stack. `udp`, `raw`, `echo` and `packets` are for the network layer to give packets to. */
export class Sockets {
  readonly udp: Udp;
  readonly raw: Raw;
  readonly echo: Echo;
  readonly packets: PacketSockets;
  /** Calls of gateways. */
  readonly gateway: GatewaySockets;
  /** About what `receiveFrom` returned last. */
  readonly message = new Datagram();
  private readonly tcp: Tcp;
  private readonly paths: Paths;
  private readonly links: Links;
  private readonly limits: Limits;
  private readonly table: SocketTable;
  private readonly endpoints: Endpoints;
  private readonly memberships: Memberships;
  private readonly remote: Address = new Int32Array(4);

  constructor(shared: Shared, limits: Limits, { tcp, paths, sender, hosts, links, groups, errors }: SocketParts) {
    this.tcp = tcp;
    this.paths = paths;
    this.links = links;
    this.limits = limits;
    this.table = new SocketTable(limits.socketsMax);
    this.endpoints = new Endpoints(shared, limits, this.table);
    this.memberships = new Memberships(this.endpoints, groups, limits);
    const parts = { endpoints: this.endpoints, paths, sender, hosts, memberships: this.memberships };
    this.udp = new Udp(parts);
    this.raw = new Raw(parts);
    this.echo = new Echo(parts);
    this.packets = new PacketSockets(this.endpoints, links);
    this.gateway = new GatewaySockets({ table: this.table, tcp, udp: this.udp, echo: this.echo, links, errors });
  }

  /** A new socket: its handle, -EAFNOSUPPORT, -EINVAL (type), -EPROTONOSUPPORT, -EMFILE, -ENOBUFS. */
  socket(family: number, type: number, protocol = 0): number {
    if (family !== Family.Inet && family !== Family.Inet6 && family !== Family.Packet) return -Errno.EAFNOSUPPORT;
    if (type < SocketType.Stream || type > SocketType.Raw) return -Errno.EINVAL;
    if (this.table.isFull) return -Errno.EMFILE;
    if (family === Family.Packet) {
      if (type === SocketType.Stream) return -Errno.EPROTONOSUPPORT;
      return this.adopt(SocketKind.Packet, this.packets.open(protocol, type === SocketType.Raw));
    }
    const isIp6 = family === Family.Inet6;
    if (type === SocketType.Raw) return this.adopt(SocketKind.Raw, this.raw.open(isIp6, protocol));
    if (type === SocketType.Stream) {
      if (protocol !== 0 && protocol !== SocketProtocol.Tcp) return -Errno.EPROTONOSUPPORT;
      return this.adopt(SocketKind.Stream, this.tcp.open(isIp6));
    }
    if (protocol === 0 || protocol === SocketProtocol.Udp) return this.adopt(SocketKind.Udp, this.udp.open(isIp6));
    if (protocol !== (isIp6 ? SocketProtocol.Icmp6 : SocketProtocol.Icmp)) return -Errno.EPROTONOSUPPORT;
    return this.adopt(SocketKind.Echo, this.echo.open(isIp6));
  }

  /** bind(2). Of a packet socket: `port` is the EtherType (0: as before), `iface` the interface. */
  bind(h: number, address: Address, port: number, iface = 0): number {
    const i = this.table.indexOf(h);
    switch (this.table.kindOf(h)) {
      case SocketKind.Stream:
        return this.tcp.bind(i, address, port, iface);
      case SocketKind.Udp:
        return this.udp.bind(i, address, port, iface);
      case SocketKind.Echo:
        return this.echo.bind(i, address, port, iface);
      case SocketKind.Raw:
        return this.raw.bind(i, address, iface);
      case SocketKind.Packet:
        return this.packets.bind(i, port, iface);
    }
    return -Errno.EBADF;
  }

  /** connect(2): of a stream -EINPROGRESS, of others 0, which fixes the peer. */
  connect(h: number, target: Address, port: number, iface = 0): number {
    const i = this.table.indexOf(h);
    switch (this.table.kindOf(h)) {
      case SocketKind.Stream:
        return this.tcp.connect(i, target, port, iface);
      case SocketKind.Udp:
        return this.udp.connect(i, target, port, iface);
      case SocketKind.Echo:
        return this.echo.connect(i, target, iface);
      case SocketKind.Raw:
        return this.raw.connect(i, target, iface);
      case SocketKind.Packet:
        return -Errno.EOPNOTSUPP;
    }
    return -Errno.EBADF;
  }

  /** connect(2) to AF_UNSPEC: the peer is forgotten. -EOPNOTSUPP for streams. */
  disconnect(h: number): number {
    const i = this.table.indexOf(h);
    switch (this.table.kindOf(h)) {
      case SocketKind.Free:
        return -Errno.EBADF;
      case SocketKind.Udp:
        this.udp.disconnect(i);
        return 0;
      case SocketKind.Echo:
        this.echo.disconnect(i);
        return 0;
      case SocketKind.Raw:
        this.raw.disconnect(i);
        return 0;
    }
    return -Errno.EOPNOTSUPP;
  }

  listen(h: number, backlog: number): number {
    const kind = this.table.kindOf(h);
    if (kind === SocketKind.Stream) return this.tcp.listen(this.table.indexOf(h), backlog);
    return kind === SocketKind.Free ? -Errno.EBADF : -Errno.EOPNOTSUPP;
  }

  /** The handle of the next connection that a listener has, -EAGAIN, -EMFILE (it stays with the listener), -EINVAL. */
  accept(h: number): number {
    const kind = this.table.kindOf(h);
    if (kind !== SocketKind.Stream) return kind === SocketKind.Free ? -Errno.EBADF : -Errno.EOPNOTSUPP;
    if (this.table.isFull) return -Errno.EMFILE;
    const c = this.tcp.accept(this.table.indexOf(h));
    return c < 0 ? c : this.table.add(SocketKind.Stream, c);
  }

  /** Sends to the peer that `connect` named: bytes taken, or -errno: -EDESTADDRREQ, -EPIPE, -EAGAIN, -EMSGSIZE, … */
  send(h: number, bytes: Uint8Array, from: number, count: number, flags = 0): number {
    const kind = this.table.kindOf(h);
    if (kind === SocketKind.Free) return -Errno.EBADF;
    const i = this.table.indexOf(h);
    if (kind === SocketKind.Stream) {
      return this.tcp.send(i, bytes, from, count, (flags & MessageFlag.More) !== 0 ? SendFlag.More : 0);
    }
    const { endpoints, remote } = this;
    if (kind === SocketKind.Packet) return this.sendMessage(h, bytes, from, count, ANY, 0, 0);
    if (!endpoints.has(i, EndpointFlag.Connected)) {
      if (!endpoints.has(i, EndpointFlag.HeaderIncluded)) return this.pendingOr(i, -Errno.EDESTADDRREQ);
      return this.sendMessage(h, bytes, from, count, ANY4, 0, 0);
    }
    endpoints.addressInto(i, Field.Remote, remote);
    return this.sendMessage(h, bytes, from, count, remote, endpoints.get(i, Field.RemotePort), 0);
  }

  /** Sends one message to `target`. On a stream as `send`; -EISCONN there, as `target` means nothing. */
  sendTo(
    h: number,
    bytes: Uint8Array,
    from: number,
    count: number,
    target: Address,
    port: number,
    iface = 0,
    _flags = 0,
  ): number {
    const kind = this.table.kindOf(h);
    if (kind === SocketKind.Free) return -Errno.EBADF;
    if (kind === SocketKind.Stream) return -Errno.EISCONN;
    return this.sendMessage(h, bytes, from, count, target, port, iface);
  }

  /** `receiveFrom` for who does not look at `message`. Of a stream 0 at its end. */
  receive(h: number, into: Uint8Array, from: number, count: number, flags = 0): number {
    if (this.table.kindOf(h) !== SocketKind.Stream) return this.receiveFrom(h, into, from, count, flags);
    const peek = (flags & MessageFlag.Peek) !== 0 ? ReceiveFlag.Peek : 0;
    return this.tcp.receive(this.table.indexOf(h), into, from, count, peek);
  }

  /**
   * The next message into `into`: the bytes copied, with Truncate the bytes it has; -EAGAIN, or the pending error. What does
   * not fit is lost, and `message.flags` says so. With ErrorQueue the next of the errors (IP_RECVERR).
   */
  receiveFrom(h: number, into: Uint8Array, from: number, count: number, flags = 0): number {
    const kind = this.table.kindOf(h);
    if (kind === SocketKind.Free) return -Errno.EBADF;
    if (kind === SocketKind.Stream) return this.receive(h, into, from, count, flags);
    const { endpoints, message } = this;
    const e = this.table.indexOf(h);
    if ((flags & MessageFlag.ErrorQueue) !== 0) {
      const got = endpoints.errors.read(e, message, into, from, count, false);
      return got < 0 ? -Errno.EAGAIN : got;
    }
    const errno = endpoints.takeError(e);
    if (errno !== 0) return -errno;
    const got = endpoints.queues.read(e, message, into, from, count, (flags & MessageFlag.Peek) !== 0);
    if (got >= 0) return (flags & MessageFlag.Truncate) !== 0 ? message.bytes : got;
    return endpoints.has(e, EndpointFlag.ReadShut) ? 0 : -Errno.EAGAIN;
  }

  /** FIONREAD: bytes that can be read at once, of the next message. */
  available(h: number): number {
    const kind = this.table.kindOf(h);
    if (kind === SocketKind.Free) return -Errno.EBADF;
    const i = this.table.indexOf(h);
    return kind === SocketKind.Stream ? this.tcp.available(i) : this.endpoints.queues.nextBytes(i);
  }

  /** shutdown(2), `how` as `How`: -EINVAL, -ENOTCONN (messages need a peer too). */
  shutdown(h: number, how: number): number {
    const kind = this.table.kindOf(h);
    if (kind === SocketKind.Free) return -Errno.EBADF;
    if (how < 0 || how > 2) return -Errno.EINVAL;
    const i = this.table.indexOf(h);
    if (kind === SocketKind.Stream) return this.tcp.shutdown(i, how);
    const { endpoints } = this;
    if (!endpoints.has(i, EndpointFlag.Connected)) return -Errno.ENOTCONN;
    if (how !== 1) endpoints.mark(i, EndpointFlag.ReadShut, true);
    if (how !== 0) endpoints.mark(i, EndpointFlag.WriteShut, true);
    endpoints.notify(i);
    return 0;
  }

  /** close(2): the handle is free; a connection ends by itself. */
  close(h: number): number {
    const kind = this.table.kindOf(h);
    if (kind === SocketKind.Free) return -Errno.EBADF;
    const i = this.table.indexOf(h);
    this.table.remove(h);
    if (kind === SocketKind.Stream) this.tcp.close(i);
    else this.closeEndpoint(kind, i);
    return 0;
  }

  /** Of a stream: resets the connection and closes. Others are closed. */
  abort(h: number): number {
    if (this.table.kindOf(h) === SocketKind.Stream) this.tcp.abort(this.table.indexOf(h));
    return this.close(h);
  }

  /** getsockname(2) into `name`. */
  local(h: number, name: SocketName): number {
    const kind = this.table.kindOf(h);
    if (kind === SocketKind.Free) return -Errno.EBADF;
    const i = this.table.indexOf(h);
    if (kind === SocketKind.Stream) {
      assign(name.address, this.tcp.localOf(i));
      name.port = this.tcp.localPort(i);
      name.iface = 0;
      return 0;
    }
    this.endpoints.addressInto(i, Field.Local, name.address);
    name.port = this.endpoints.get(i, kind === SocketKind.Packet ? Field.Protocol : Field.LocalPort);
    name.iface = this.endpoints.get(i, Field.Scope);
    return 0;
  }

  /** getpeername(2) into `name`: -ENOTCONN. */
  peer(h: number, name: SocketName): number {
    const kind = this.table.kindOf(h);
    if (kind === SocketKind.Free) return -Errno.EBADF;
    const i = this.table.indexOf(h);
    if (kind === SocketKind.Stream) {
      if (!isConnected(this.tcp.stateOf(i))) return -Errno.ENOTCONN;
      assign(name.address, this.tcp.remoteOf(i));
      name.port = this.tcp.remotePort(i);
      name.iface = 0;
      return 0;
    }
    if (!this.endpoints.has(i, EndpointFlag.Connected)) return -Errno.ENOTCONN;
    this.endpoints.addressInto(i, Field.Remote, name.address);
    name.port = this.endpoints.get(i, Field.RemotePort);
    name.iface = this.endpoints.get(i, Field.Scope);
    return 0;
  }

  /** setsockopt(2): 0, -ENOPROTOOPT, -EINVAL, -EADDRNOTAVAIL (no such interface). */
  setOption(h: number, option: number, value: number): number {
    const kind = this.table.kindOf(h);
    if (kind === SocketKind.Free) return -Errno.EBADF;
    if (namesIface(option) && value > 0 && !this.links.get(value)) return -Errno.EADDRNOTAVAIL;
    const i = this.table.indexOf(h);
    if (kind !== SocketKind.Stream) return setEndpointOption(this.endpoints, this.limits, i, option, value);
    const tcpOption = tcpOptionOf(option);
    return tcpOption === undefined ? -Errno.ENOPROTOOPT : this.tcp.setOption(i, tcpOption, value);
  }

  /** getsockopt(2). `SocketOption.Error` gives the pending error, positive, and forgets it. */
  getOption(h: number, option: number): number {
    const kind = this.table.kindOf(h);
    if (kind === SocketKind.Free) return -Errno.EBADF;
    const i = this.table.indexOf(h);
    if (option === SocketOption.Type) return this.typeOf(kind, i);
    if (kind !== SocketKind.Stream) return getEndpointOption(this.endpoints, i, option);
    if (option === SocketOption.Error) return Math.abs(this.tcp.takeError(i));
    if (option === SocketOption.Protocol) return SocketProtocol.Tcp;
    const tcpOption = tcpOptionOf(option);
    return tcpOption === undefined ? -Errno.ENOPROTOOPT : this.tcp.getOption(i, tcpOption);
  }

  /** An option of IPPROTO_TCP; -ENOPROTOOPT of what is no stream. */
  setTcpOption(h: number, option: TcpOption, value: number): number {
    const kind = this.table.kindOf(h);
    if (kind === SocketKind.Stream) return this.tcp.setOption(this.table.indexOf(h), option, value);
    return kind === SocketKind.Free ? -Errno.EBADF : -Errno.ENOPROTOOPT;
  }

  getTcpOption(h: number, option: TcpOption): number {
    const kind = this.table.kindOf(h);
    if (kind === SocketKind.Stream) return this.tcp.getOption(this.table.indexOf(h), option);
    return kind === SocketKind.Free ? -Errno.EBADF : -Errno.ENOPROTOOPT;
  }

  /** ICMP_FILTER (one word) and ICMP6_FILTER (eight) of a raw socket: a bit that is set keeps its type out (RFC 3542 §3.2). */
  setFilter(h: number, words: Int32Array): number {
    const kind = this.table.kindOf(h);
    if (kind !== SocketKind.Raw) return kind === SocketKind.Free ? -Errno.EBADF : -Errno.ENOPROTOOPT;
    setFilter(this.endpoints, this.table.indexOf(h), words);
    return 0;
  }

  /**
   * Group memberships: IP_ADD_MEMBERSHIP and its kin, and RFC 3678's. `iface` 0: where the group's route leads, -EADDRNOTAVAIL
   * if nowhere. `source` is used by the calls about one. Errors as in `Memberships`.
   */
  changeGroup(h: number, change: GroupChange, group: Address, iface = 0, source: Address = ANY): number {
    const kind = this.table.kindOf(h);
    if (kind === SocketKind.Free) return -Errno.EBADF;
    if (kind === SocketKind.Stream || kind === SocketKind.Packet) return -Errno.ENOPROTOOPT;
    const e = this.table.indexOf(h);
    if (!isIp4(group) && !this.endpoints.isIp6(e)) return -Errno.ENOPROTOOPT;
    const at = this.groupIface(e, group, iface);
    if (at < 0) return at;
    const { memberships } = this;
    switch (change) {
      case GroupChange.Join:
        return memberships.join(e, group, at);
      case GroupChange.Leave:
        return memberships.leave(e, group, at);
      case GroupChange.JoinSource:
        return memberships.joinSource(e, group, source, at);
      case GroupChange.LeaveSource:
        return memberships.leaveSource(e, group, source, at);
      case GroupChange.BlockSource:
        return memberships.blockSource(e, group, source, at);
      case GroupChange.UnblockSource:
        return memberships.unblockSource(e, group, source, at);
    }
  }

  /** Bits of `Ready`. */
  poll(h: number): number {
    const kind = this.table.kindOf(h);
    if (kind === SocketKind.Free) return Ready.Error;
    const i = this.table.indexOf(h);
    if (kind === SocketKind.Stream) return this.tcp.readiness(i);
    const { endpoints } = this;
    let ready = endpoints.queues.count(i) > 0 ? Ready.In : 0;
    if (!endpoints.has(i, EndpointFlag.Blocked)) ready |= Ready.Out;
    if (endpoints.get(i, Field.Error) !== 0 || endpoints.errors.count(i) > 0) ready |= Ready.Error;
    if (endpoints.has(i, EndpointFlag.ReadShut)) ready |= Ready.In | Ready.ReadHup;
    return ready;
  }

  /** The next handle whose `poll` may have changed, each once and in order; -1 if there is none. */
  nextEvent(): number {
    for (let c = this.tcp.nextEvent(); c >= 0; c = this.tcp.nextEvent()) {
      const h = this.table.ofConnection(c);
      if (h >= 0) this.table.changed(h);
    }
    return this.table.nextEvent();
  }

  /**
   * From now on `user` hears of `h` from `dispatch`, and not the promise API, first of what there is already. It ends when `h`
   * is closed, aborted or refused; it is not in a snapshot. 0 or -EBADF.
   */
  claim(h: number, user: SocketUser): number {
    return this.table.claim(h, user);
  }

  /** Tells who claimed `h`, as `nextEvent` gave it; false if nobody did. */
  tellUser(h: number): boolean {
    const user = this.table.userOf(h);
    user?.changed(h);
    return user !== undefined;
  }

  /** True if message sockets wait for the port to take frames. */
  get hasBlocked(): boolean {
    return this.endpoints.hasBlocked;
  }

  /** The port took frames: message sockets that got -EAGAIN become writable. */
  outputDrained(): void {
    this.endpoints.outputDrained();
  }

  /** Gives all memory back, TCP's included. */
  releaseMemory(): void {
    this.tcp.releaseMemory();
    this.endpoints.clear();
    this.udp.releaseMemory();
    this.raw.releaseMemory();
    this.echo.releaseMemory();
  }

  /** Everything but TCP, which saves itself. */
  save(state: StateWriter): void {
    state.section('stack/sockets', 1);
    this.table.save(state);
    this.endpoints.save(state);
    this.memberships.save(state);
    this.udp.save(state);
    this.raw.save(state);
    this.echo.save(state);
    this.packets.save(state);
  }

  load(state: StateReader): void {
    state.section('stack/sockets', 1);
    this.table.load(state);
    this.endpoints.load(state);
    if (!this.table.fits(this.endpoints)) throw new StateError('a socket of a snapshot has no endpoint');
    this.memberships.load(state);
    this.udp.load(state);
    this.raw.load(state);
    this.echo.load(state);
    this.packets.load(state);
  }

  /** A handle for what was opened, or -errno with nothing left open. */
  private adopt(kind: number, index: number): number {
    if (index < 0) return index;
    const h = this.table.add(kind, index);
    if (kind !== SocketKind.Stream) this.endpoints.set(index, Field.Handle, h);
    return h;
  }

  private closeEndpoint(kind: number, e: number): void {
    this.memberships.drop(e);
    if (kind === SocketKind.Udp) this.udp.close(e);
    else if (kind === SocketKind.Raw) this.raw.close(e);
    else if (kind === SocketKind.Echo) this.echo.close(e);
    else this.packets.close(e);
  }

  private sendMessage(
    h: number,
    bytes: Uint8Array,
    from: number,
    count: number,
    target: Address,
    port: number,
    iface: number,
  ): number {
    const e = this.table.indexOf(h);
    const { endpoints } = this;
    if (endpoints.has(e, EndpointFlag.WriteShut)) return -Errno.EPIPE;
    const pending = this.pendingOr(e, 0);
    if (pending < 0) return pending;
    switch (this.table.kindOf(h)) {
      case SocketKind.Udp:
        return this.udp.send(e, bytes, from, count, target, port, iface);
      case SocketKind.Echo:
        return this.echo.send(e, bytes, from, count, target, iface);
      case SocketKind.Raw:
        return this.raw.send(e, bytes, from, count, target, iface);
    }
    return this.packets.send(e, bytes, from, count, target, port, iface);
  }

  /** The pending error, negative, which is thereby told; `otherwise` if there is none. */
  private pendingOr(e: number, otherwise: number): number {
    const errno = this.endpoints.takeError(e);
    return errno !== 0 ? -errno : otherwise;
  }

  private typeOf(kind: number, e: number): number {
    const isPacket = kind === SocketKind.Packet;
    if (isPacket && !this.endpoints.has(e, EndpointFlag.WithHeader)) return SocketType.Datagram;
    return TYPES[kind]!;
  }

  /** The interface of a membership: as given, or where the group's route leads. */
  private groupIface(e: number, group: Address, iface: number): number {
    if (iface !== 0) return this.links.get(iface) ? iface : -Errno.EADDRNOTAVAIL;
    const set = this.endpoints.get(e, isIp4(group) ? Field.GroupIface4 : Field.GroupIface6);
    if (set !== 0) return set;
    const path = this.paths.find(isIp4(group) ? ANY4 : ANY, group, 0);
    return path < 0 ? -Errno.EADDRNOTAVAIL : this.paths.ifaceOf(path);
  }
}

const isConnected = (state: State): boolean =>
  state !== State.Closed && state !== State.Listen && state !== State.SynSent && state !== State.TimeWait;
