// The sockets of a host that is nothing but memory: servers by name, clients by hand, buffers with bounds.

import type { Slab } from '../../core/slab.ts';
import type { Span } from '../../core/span.ts';
import { type DatagramBatch, type HostError, HostReady, type HostSockets, type HostUser } from '../../slirp/slirp.ts';
import { type Address, Errno, formatAddress, parseAddress, type SocketName } from '../../stack/stack.ts';
import { SimPeer } from './sim-stream.ts';

export { SimPeer } from './sim-stream.ts';

/** `192.0.2.7:80`, `[2001:db8::7]:80`. */
export function whereOf(address: Address, port: number): string {
  const text = formatAddress(address);
  return text.includes(':') ? `[${text}]:${port}` : `${text}:${port}`;
}

/** What a place outside does with a connection: takes it, leaves it to the test, never answers, or fails with an errno. */
export type Answer = 'accept' | 'hold' | 'never' | number;

/** What the host does for its parts. */
export interface SimHandles {
  readonly slab: Slab;
  /** A handle of the part's own, or -EMFILE. */
  open(part: SimPart): number;
  /** What `h` is ready for may have changed. */
  changed(h: number): void;
}

/** What every handle has. */
export interface SimPart {
  /** Bits of `HostReady` that hold now. */
  events(h: number): number;
  local(h: number, name: SocketName): number;
  takeError(h: number): number;
  close(h: number): void;
}

/** The datagram half of `HostSockets`; test/kit/sim-datagrams.ts. `h` is always a handle that it opened. */
export type SimDatagramPart = SimPart &
  Pick<
    HostSockets,
    | 'openUdp'
    | 'openEcho'
    | 'receiveDatagrams'
    | 'sendDatagrams'
    | 'receiveError'
    | 'setHops'
    | 'setTrafficClass'
    | 'setDontFragment'
  >;

export interface SimHostOptions {
  /** Capacity of each direction of each connection; 64 KiB. */
  readonly bufferBytes?: number;
  /** Descriptors; 65536. */
  readonly handlesMax?: number;
  /** Called when somebody is ready and `dispatch` should follow, never from within a call of the gateway's but `dispatch`. */
  readonly wake?: () => void;
  readonly datagrams?: (handles: SimHandles) => SimDatagramPart;
}

interface Listener {
  readonly where: string;
  readonly name: { readonly address: Address; readonly port: number };
  readonly backlog: number;
  readonly waiting: SimPeer[];
}

/** What is behind a handle. */
interface Handle {
  readonly part: SimPart;
  readonly stream?: SimPeer;
  readonly listener?: Listener;
  local: { readonly address: Address; readonly port: number };
  user: HostUser | undefined;
  wanted: number;
  /** An error was told while nothing was wanted. */
  isTold: boolean;
}

const NOBODY: Address = new Int32Array(4);
const HOST_4 = parseAddress('198.51.100.1')!;
const HOST_6 = parseAddress('2001:db8:100::1')!;

/** See `HostSockets`. Its own addresses are 198.51.100.1 and 2001:db8:100::1. */
export class SimHost implements HostSockets {
  /** Every connection that the gateway began, in order. */
  readonly peers: SimPeer[] = [];
  /** Calls of `receive` and `send`: how much work there was. */
  calls = 0;
  dispatches = 0;
  wake: () => void;
  private readonly slab: Slab;
  private readonly bufferBytes: number;
  private readonly handlesMax: number;
  private readonly answers = new Map<string, Answer>();
  private readonly listeners = new Map<string, number>();
  private readonly handles: (Handle | undefined)[] = [];
  private readonly free: number[] = [];
  private readonly touched = new Set<number>();
  private readonly datagrams: SimDatagramPart | undefined;
  private nextPort = 32768;
  private isDispatching = false;

  constructor(slab: Slab, options: SimHostOptions = {}) {
    this.slab = slab;
    this.bufferBytes = options.bufferBytes ?? 65536;
    this.handlesMax = options.handlesMax ?? 65536;
    this.wake = options.wake ?? (() => {});
    this.datagrams = options.datagrams?.({
      slab,
      open: (part) => this.add({ part }),
      changed: (h) => this.changed(h),
    });
  }

  /** What `where` does with connections from now on; places that are not named refuse them. */
  answer(where: string, answer: Answer): void {
    this.answers.set(where, answer);
  }

  /** A client outside connects to a listener of the gateway's: undefined if nobody listens, or its backlog is full. */
  connectFrom(from: string, to: string): SimPeer | undefined {
    const h = this.listeners.get(to);
    const listener = h === undefined ? undefined : this.handles[h]?.listener;
    if (h === undefined || !listener || listener.waiting.length > listener.backlog) return undefined;
    const peer = this.newPeer(to, from, () => h);
    peer.isConnected = true;
    listener.waiting.push(peer);
    this.changed(h);
    return peer;
  }

  /** Descriptors in use. */
  get openHandles(): number {
    return this.handles.reduce((n, handle) => n + (handle ? 1 : 0), 0);
  }

  /** What `h` wants, for tests of backpressure. */
  wantedOf(h: number): number {
    return this.handles[h]?.wanted ?? 0;
  }

  // HostSockets

  claim(h: number, user: HostUser): void {
    this.handles[h]!.user = user;
    this.changed(h);
  }

  want(h: number, events: number): void {
    const handle = this.handles[h]!;
    handle.wanted = events;
    this.changed(h);
  }

  dispatch(): void {
    this.dispatches++;
    this.isDispatching = true;
    const round = [...this.touched];
    this.touched.clear();
    let isLeft = false;
    for (const h of round) {
      const before = this.handles[h];
      if (!before) continue;
      const events = this.dueOf(h, before);
      if (events === 0) continue;
      if (before.wanted === 0) before.isTold = true;
      before.user!.ready(h, events);
      const after = this.handles[h];
      if (!after || this.dueOf(h, after) === 0) continue;
      this.touched.add(h);
      isLeft = true;
    }
    this.isDispatching = false;
    if (isLeft || [...this.touched].some((h) => this.handles[h] && this.dueOf(h, this.handles[h]!) !== 0)) this.wake();
  }

  connectTcp(target: Address, port: number, source: Address): number {
    const own = target[2] === 0xffff ? HOST_4 : HOST_6;
    const address = source.some((word, i) => word !== 0 && !(i === 2 && word === 0xffff)) ? source.slice() : own;
    return this.connect(whereOf(target, port), { address, port: this.nextPort++ });
  }

  connectUnix(path: string): number {
    return this.connect(path, { address: NOBODY, port: 0 });
  }

  listenTcp(address: Address, port: number, backlog: number): number {
    const chosen = port === 0 ? this.nextPort++ : port;
    return this.listen(whereOf(address, chosen), { address: address.slice(), port: chosen }, backlog);
  }

  listenUnix(path: string, backlog: number): number {
    return this.listen(path, { address: NOBODY, port: 0 }, backlog);
  }

  accept(h: number, peer: SocketName): number {
    const { listener, local } = this.handles[h]!;
    const stream = listener!.waiting[0];
    if (!stream) return -Errno.EAGAIN;
    const handle = this.add({ part: this.streams, stream, local });
    if (handle < 0) return handle;
    listener!.waiting.shift();
    this.owners.set(stream, handle);
    const at = stream.from.lastIndexOf(':');
    const address = at < 0 ? undefined : parseAddress(stream.from.slice(0, at).replace(/[[\]]/g, ''));
    peer.address.set(address ?? NOBODY);
    peer.port = address ? Number(stream.from.slice(at + 1)) : 0;
    this.changed(h);
    return handle;
  }

  receive(h: number, into: Span): number {
    this.calls++;
    const peer = this.handles[h]!.stream!;
    const { leaving } = peer;
    if (leaving.bytes === 0) {
      if (peer.errno !== 0) return this.breakOnce(peer);
      return leaving.isEnded || peer.isBroken ? 0 : -Errno.EAGAIN;
    }
    const { bytes } = this.slab;
    const first = leaving.read(bytes, into.at, into.bytes);
    return first + leaving.read(bytes, into.moreAt, into.moreBytes);
  }

  send(h: number, from: Span): number {
    this.calls++;
    const peer = this.handles[h]!.stream!;
    if (peer.errno !== 0) return this.breakOnce(peer);
    const { arriving } = peer;
    if (arriving.isEnded || peer.isBroken) return -Errno.EPIPE;
    if (arriving.room === 0) return -Errno.EAGAIN;
    const { bytes } = this.slab;
    const first = arriving.write(bytes, from.at, from.bytes);
    return first + arriving.write(bytes, from.moreAt, from.moreBytes);
  }

  shutdown(h: number): number {
    const peer = this.handles[h]!.stream!;
    if (!peer.isConnected || peer.isBroken) return -Errno.ENOTCONN;
    peer.arriving.isEnded = true;
    this.changed(h);
    return 0;
  }

  local(h: number, name: SocketName): number {
    return this.handles[h]!.part.local(h, name);
  }

  takeError(h: number): number {
    return this.handles[h]!.part.takeError(h);
  }

  close(h: number): void {
    this.end(h, false);
  }

  abort(h: number): void {
    this.end(h, true);
  }

  openUdp(isIp6: boolean, local: Address, port: number): number {
    return this.datagrams?.openUdp(isIp6, local, port) ?? -Errno.EPROTONOSUPPORT;
  }

  openEcho(isIp6: boolean, identifier: number): number {
    return this.datagrams?.openEcho(isIp6, identifier) ?? -Errno.EACCES;
  }

  receiveDatagrams(h: number, into: DatagramBatch): number {
    return this.datagrams!.receiveDatagrams(h, into);
  }

  sendDatagrams(h: number, batch: DatagramBatch, from: number, count: number): number {
    return this.datagrams!.sendDatagrams(h, batch, from, count);
  }

  receiveError(h: number, into: HostError): boolean {
    return this.datagrams!.receiveError(h, into);
  }

  setHops(h: number, hops: number): void {
    this.datagrams!.setHops(h, hops);
  }

  setTrafficClass(h: number, trafficClass: number): void {
    this.datagrams!.setTrafficClass(h, trafficClass);
  }

  setDontFragment(h: number, isSet: boolean): void {
    this.datagrams!.setDontFragment(h, isSet);
  }

  // Streams and listeners

  private readonly owners = new Map<SimPeer, number>();

  private readonly streams: SimPart = {
    events: (h) => this.streamEvents(this.handles[h]!.stream!),
    local: (h, name) => {
      const { local } = this.handles[h]!;
      name.address.set(local.address);
      name.port = local.port;
      return 0;
    },
    takeError: (h) => {
      const { stream } = this.handles[h]!;
      const { errno } = stream!;
      if (errno !== 0) this.breakOnce(stream!);
      return errno;
    },
    close: () => {},
  };

  private readonly listening: SimPart = {
    events: (h) => (this.handles[h]!.listener!.waiting.length > 0 ? HostReady.In : 0),
    local: (h, name) => this.streams.local(h, name),
    takeError: () => 0,
    close: (h) => {
      const { listener } = this.handles[h]!;
      this.listeners.delete(listener!.where);
      for (const peer of listener!.waiting) peer.isReset = peer.isClosed = true;
    },
  };

  private streamEvents(peer: SimPeer): number {
    const { In, Out, Error: Failed, Hup } = HostReady;
    if (peer.errno !== 0) return In | Out | Failed | (peer.isConnected ? Hup : 0);
    if (!peer.isConnected) return 0;
    if (peer.isBroken) return In | Out | Hup;
    let events = 0;
    if (peer.leaving.bytes > 0 || peer.leaving.isEnded) events |= In;
    if (peer.arriving.isEnded || 3 * peer.arriving.room >= peer.arriving.bytesMax) events |= Out;
    if (peer.leaving.isEnded && peer.arriving.isEnded) events |= Hup;
    return events;
  }

  /** As Linux: the error is told once; then the stream is at its end. */
  private breakOnce(peer: SimPeer): number {
    const { errno } = peer;
    peer.errno = 0;
    peer.isBroken = true;
    return -errno;
  }

  private connect(where: string, local: { address: Address; port: number }): number {
    const peer = this.newPeer(where, '', () => this.owners.get(peer) ?? -1);
    const h = this.add({ part: this.streams, stream: peer, local });
    if (h < 0) return h;
    this.owners.set(peer, h);
    this.peers.push(peer);
    const answer = this.answers.get(where) ?? Errno.ECONNREFUSED;
    if (typeof answer === 'number') peer.errno = answer;
    else if (answer === 'accept') peer.isConnected = true;
    this.changed(h);
    return h;
  }

  private listen(where: string, name: { address: Address; port: number }, backlog: number): number {
    if (this.listeners.has(where)) return -Errno.EADDRINUSE;
    const listener = { where, name, backlog, waiting: [] };
    const h = this.add({ part: this.listening, listener, local: name });
    if (h >= 0) this.listeners.set(where, h);
    return h;
  }

  private newPeer(where: string, from: string, owner: () => number): SimPeer {
    const peer: SimPeer = new SimPeer(where, from, this.bufferBytes, () => {
      const h = this.owners.get(peer) ?? owner();
      if (h >= 0) this.changed(h);
    });
    return peer;
  }

  private end(h: number, isAbort: boolean): void {
    const { part, stream } = this.handles[h]!;
    part.close(h);
    if (stream) {
      stream.isClosed = true;
      if (isAbort || stream.leaving.bytes > 0) {
        stream.isReset = true;
        stream.arriving.clear();
      }
      stream.arriving.isEnded = true;
      this.owners.delete(stream);
    }
    this.handles[h] = undefined;
    this.touched.delete(h);
    this.free.push(h);
  }

  private add(handle: Pick<Handle, 'part'> & Partial<Handle>): number {
    if (this.handles.length - this.free.length >= this.handlesMax) return -Errno.EMFILE;
    const h = this.free.pop() ?? this.handles.length;
    const local = { address: NOBODY, port: 0 };
    this.handles[h] = { local, user: undefined, wanted: 0, isTold: false, ...handle };
    return h;
  }

  /** What is told of `h` at the next dispatch. */
  private dueOf(h: number, handle: Handle): number {
    if (!handle.user) return 0;
    const { Error: Failed, Hup } = HostReady;
    const events = handle.part.events(h) & (handle.wanted | Failed | Hup);
    return handle.wanted === 0 && handle.isTold ? 0 : events;
  }

  private changed(h: number): void {
    const handle = this.handles[h];
    if (!handle) return;
    this.touched.add(h);
    handle.isTold = false;
    if (!this.isDispatching && this.dueOf(h, handle) !== 0) this.wake();
  }
}
