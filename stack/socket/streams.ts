// The promise API of a stack: connections, listeners, UDP sockets and pings, over `Sockets`.
//
// It runs beside the data path: the driver calls `dispatch` after each entry into the stack, which asks `Sockets.nextEvent`
// and wakes those who wait. Calls that leave work for the stack call `wake`, upon which the driver polls it soon. Timeouts are
// in the stack's time: `deadlineUs` and `expire`.

import * as icmp from '../../wire/icmp.ts';
import * as icmp6 from '../../wire/icmp6.ts';
import { type Address, ANY, format, isIp4, parse } from '../address.ts';
import { Errno } from '../errno.ts';
import { Gate, Timeouts, type WaitOptions } from './gate.ts';
import { type HandleOwner, SocketError, SocketHandle } from './socket-handle.ts';
import { Family, SocketOption, SocketProtocol, type Sockets, SocketType } from './sockets.ts';
import { isDecided, Listener, TcpStream } from './tcp-stream.ts';
import { UdpSocket } from './udp-socket.ts';

export { SocketError, SocketHandle } from './socket-handle.ts';
export { Listener, TcpStream } from './tcp-stream.ts';
export { type ReceivedDatagram, UdpSocket } from './udp-socket.ts';

const BACKLOG = 511; // as Node's
const PING_BYTES = 56;
const PING_TIMEOUT_US = 5_000_000;

/** An end as programs name it: words or text of an address, or a name if the driver can look it up. */
export interface Where {
  readonly host: string | Address;
  readonly port: number;
  /** The scope of a link-local address. */
  readonly iface?: number;
}

/** Where to listen or bind: default any address of both families, port 0: chosen. */
export interface LocalWhere {
  readonly host?: string | Address;
  readonly port?: number;
  readonly iface?: number;
  readonly reuseAddress?: boolean;
  readonly reusePort?: boolean;
}

/** What an echo said. */
export interface EchoAnswer {
  readonly address: string;
  readonly rttUs: number;
  readonly hops: number;
  readonly bytes: number;
}

/** What the API needs of its driver. */
export interface StreamsDriver {
  readonly sockets: Sockets;
  /** The stack has work. */
  wake(): void;
  /** The stack's own time. */
  nowUs(): number;
  /** Addresses of a name, best first; without it only literal addresses are taken. */
  lookup?(name: string): Promise<readonly Address[]>;
}

/** The promise API of one stack. */
export class Streams implements HandleOwner {
  readonly sockets: Sockets;
  private readonly driver: StreamsDriver;
  private readonly timeouts: Timeouts;
  private readonly handles: (SocketHandle | undefined)[] = [];
  private sequence = 0;

  constructor(driver: StreamsDriver) {
    this.driver = driver;
    this.sockets = driver.sockets;
    this.timeouts = new Timeouts(() => driver.nowUs());
  }

  /** Tells all sockets their news. */
  dispatch(): void {
    const { sockets } = this;
    for (let h = sockets.nextEvent(); h >= 0; h = sockets.nextEvent()) {
      if (!sockets.tellUser(h)) this.handles[h]?.react();
    }
  }

  deadlineUs(): number {
    return this.timeouts.deadlineUs();
  }

  expire(): void {
    this.timeouts.expire();
  }

  /** Aborts all that is open: whoever waits gets an error. */
  close(): void {
    for (const handle of [...this.handles]) handle?.abort();
  }

  wake(): void {
    this.driver.wake();
  }

  forget(handle: SocketHandle): void {
    if (this.handles[handle.number] === handle) this.handles[handle.number] = undefined;
  }

  /** A handle with callbacks for a socket number, which it owns from now on. */
  adopt(number: number): SocketHandle {
    const handle = new SocketHandle(this, number);
    this.handles[number] = handle;
    return handle;
  }

  /** Connects; a name's addresses are tried in their order. */
  async connect(to: Where, options: WaitOptions & { local?: LocalWhere; noDelay?: boolean } = {}): Promise<TcpStream> {
    let failure: unknown;
    for (const address of await this.resolve(to.host)) {
      try {
        return await this.connectTo(address, to, options);
      } catch (error) {
        failure = error;
        if (options.signal?.aborted) break;
      }
    }
    throw failure;
  }

  /** Listens; throws EADDRINUSE and its like. */
  listen(where: LocalWhere & { backlog?: number } = {}): Listener {
    const handle = this.bound(SocketType.Stream, where, true);
    const result = this.sockets.listen(handle.number, where.backlog ?? BACKLOG);
    if (result < 0) throw this.give(handle, result, 'listen');
    return new Listener(handle, this.timeouts, (number) => this.adopt(number));
  }

  /** A UDP socket at `where`, connected to `peer` if that is given (a literal address). */
  udp(where: LocalWhere & { peer?: Where } = {}): UdpSocket {
    const { peer } = where;
    const target = peer && literal(peer.host, 'connect');
    const host = where.host ?? (target && isIp4(target) ? '0.0.0.0' : ANY);
    const handle = this.bound(SocketType.Datagram, { ...where, host }, where.port !== undefined || !peer);
    if (peer && target) {
      const result = this.sockets.connect(handle.number, target, peer.port, peer.iface ?? 0);
      if (result < 0) throw this.give(handle, result, 'connect', { address: format(target), port: peer.port });
    }
    return new UdpSocket(handle, this.timeouts, () => this.wake());
  }

  /** Sends one echo request and waits for its answer: by default 56 bytes and 5 s. */
  async ping(
    host: string | Address,
    options: WaitOptions & { bytes?: number; hops?: number; iface?: number } = {},
  ): Promise<EchoAnswer> {
    const [target] = await this.resolve(host);
    if (!target) throw new SocketError(Errno.EADDRNOTAVAIL, 'ping');
    const is4 = isIp4(target);
    const protocol = is4 ? SocketProtocol.Icmp : SocketProtocol.Icmp6;
    const handle = this.open(is4 ? Family.Inet : Family.Inet6, SocketType.Datagram, protocol);
    const where = { address: format(target), port: 0 };
    try {
      if (options.hops !== undefined) {
        this.sockets.setOption(handle.number, is4 ? SocketOption.Ttl : SocketOption.UnicastHops, options.hops);
      }
      this.sockets.setOption(handle.number, is4 ? SocketOption.ReceiveErrors : SocketOption.ReceiveErrors6, 1);
      return await this.echo(handle, target, options, where);
    } finally {
      handle.close();
    }
  }

  private async echo(
    handle: SocketHandle,
    target: Address,
    options: WaitOptions & { bytes?: number; iface?: number },
    where: { address: string; port: number },
  ): Promise<EchoAnswer> {
    const { sockets } = this;
    const request = new Uint8Array(icmp.HEADER_BYTES + (options.bytes ?? PING_BYTES));
    const view = new DataView(request.buffer);
    const sequence = ++this.sequence & 0xffff;
    icmp.setType(view, 0, isIp4(target) ? icmp.Type.EchoRequest : icmp6.Type.EchoRequest);
    icmp.setSeq(view, 0, sequence);
    const sentUs = this.driver.nowUs();
    const sent = sockets.sendTo(handle.number, request, 0, request.length, target, 0, options.iface ?? 0);
    if (sent < 0) throw new SocketError(sent, 'ping', where);
    this.wake();
    const gate = new Gate();
    handle.onReadable = () => gate.open();
    handle.onClose = () => gate.open();
    const into = new Uint8Array(request.length);
    const timed = { ...options, timeoutUs: options.timeoutUs ?? PING_TIMEOUT_US };
    return this.timeouts.until(gate, timed, 'ping', () => {
      for (;;) {
        const n = sockets.receiveFrom(handle.number, into, 0, into.length);
        if (n === -Errno.EAGAIN) return undefined;
        if (n < 0) throw new SocketError(n, 'ping', where);
        if (n < icmp.HEADER_BYTES || icmp.seq(new DataView(into.buffer), 0) !== sequence) continue;
        const { source, hops, timeUs } = sockets.message;
        return { address: format(source), rttUs: timeUs - sentUs, hops, bytes: n - icmp.HEADER_BYTES };
      }
    });
  }

  private async connectTo(
    address: Address,
    { port, iface = 0 }: Where,
    options: WaitOptions & { local?: LocalWhere },
  ): Promise<TcpStream> {
    const { sockets } = this;
    const where = { address: format(address), port };
    const family = isIp4(address) ? Family.Inet : Family.Inet6;
    const { local } = options;
    const handle = local
      ? this.bound(SocketType.Stream, { host: isIp4(address) ? '0.0.0.0' : '::', ...local }, true)
      : this.open(family, SocketType.Stream, 0);
    const result = sockets.connect(handle.number, address, port, iface);
    if (result < 0 && result !== -Errno.EINPROGRESS) throw this.give(handle, result, 'connect', where);
    this.wake();
    const gate = new Gate();
    handle.onWritable = () => gate.open();
    handle.onClose = () => gate.open();
    try {
      await this.timeouts.until(gate, options, 'connect', () => (isDecided(handle.ready) ? true : undefined));
      const errno = handle.isOpen ? handle.takeError() : Errno.ECONNABORTED;
      if (errno > 0) throw new SocketError(errno, 'connect', where);
      return new TcpStream(handle, this.timeouts);
    } catch (error) {
      handle.abort();
      throw error;
    }
  }

  private open(family: number, type: number, protocol: number): SocketHandle {
    const h = this.sockets.socket(family, type, protocol);
    if (h < 0) throw new SocketError(h, 'socket');
    return this.adopt(h);
  }

  /** A socket of the address's family with its options set, and bound if `mustBind`. */
  private bound(type: number, where: LocalWhere, mustBind: boolean): SocketHandle {
    const address = where.host === undefined ? ANY : literal(where.host, 'bind');
    const handle = this.open(isIp4(address) ? Family.Inet : Family.Inet6, type, 0);
    const { number } = handle;
    if (where.reuseAddress ?? type === SocketType.Stream) this.sockets.setOption(number, SocketOption.ReuseAddress, 1);
    if (where.reusePort) this.sockets.setOption(number, SocketOption.ReusePort, 1);
    if (!mustBind) return handle;
    const port = where.port ?? 0;
    const result = this.sockets.bind(number, address, port, where.iface ?? 0);
    if (result < 0) throw this.give(handle, result, 'bind', { address: format(address), port });
    return handle;
  }

  /** Closes what failed to be set up, and returns its error. */
  private give(
    handle: SocketHandle,
    errno: number,
    syscall: string,
    where?: { address: string; port: number },
  ): SocketError {
    handle.close();
    return new SocketError(errno, syscall, where);
  }

  private async resolve(host: string | Address): Promise<readonly Address[]> {
    if (typeof host !== 'string') return [host.slice()];
    const address = parse(host);
    if (address) return [address];
    const found = await this.driver.lookup?.(host);
    if (!found || found.length === 0)
      throw new SocketError(Errno.EADDRNOTAVAIL, 'getaddrinfo', { address: host, port: 0 });
    return found;
  }
}

/** The address that a text says, or throws EINVAL of `syscall`. */
function literal(host: string | Address, syscall: string): Address {
  const address = typeof host === 'string' ? parse(host) : host;
  if (!address) throw new SocketError(Errno.EINVAL, syscall, { address: String(host), port: 0 });
  return address;
}
