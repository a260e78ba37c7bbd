// A host under attack and a friend of it on the same link, driven by hand; and a peer made of single segments.

import { Burst, PLAIN } from '../../core/burst.ts';
import { Rng } from '../../core/rng.ts';
import { Slab } from '../../core/slab.ts';
import { Family, type Limits, parseAddress, SocketType, Stack } from '../../stack/stack.ts';
import { addAddress, addGateway, secretOf } from '../kit/stack-kit.ts';
import { HOST, PEER } from './corpus.ts';
import { bytesOf, ethernet, ip4, sealed } from './packets.ts';

export const SCRATCH_BYTES = 1 << 14;
type Iface = ReturnType<Stack['addInterface']>;

/** Addresses: 10.0.0.1, fd00::1 of the host and …2 of the friend, who is its default gateway too. */
export class Victim {
  readonly rng = new Rng(7);
  readonly slab: Slab;
  readonly stack: Stack;
  readonly iface: Iface;
  readonly friend: Stack;
  readonly burst = new Burst(256);
  nowUs = 1_000_000;
  /** Frames of the host that were for nobody here. */
  lostFrames = 0;
  /** Sees what the host sends. */
  onFrame: ((at: number, length: number) => void) | undefined;
  private readonly friendSlab = new Slab({ bytesMax: 1 << 26 });
  private readonly friendIface: Iface;
  private readonly scratch: number;
  private readonly friendScratch: number;
  private readonly buffer = new Uint8Array(8192);

  constructor(options: { limits?: Partial<Limits>; slabBytes?: number; forwards6?: boolean } = {}) {
    const { limits, slabBytes = 1 << 29, forwards6 = false } = options;
    this.slab = new Slab({ bytesMax: slabBytes });
    this.scratch = this.slab.alloc(SCRATCH_BYTES) + 2;
    this.friendScratch = this.friendSlab.alloc(SCRATCH_BYTES) + 2;
    this.stack = new Stack({ slab: this.slab, secret: secretOf(1, 1), nowUs: 0, ...(limits && { limits }) });
    this.friend = new Stack({ slab: this.friendSlab, secret: secretOf(1, 2), nowUs: 0 });
    const made = [this.stack, this.friend].map((stack, i) => {
      const mac = Uint8Array.of(2, 0, 0, 0, 0, i + 1);
      const iface = stack.addInterface({ name: 'eth0', mac, mtuBytes: 1500, dadTransmits: 0 });
      addAddress(stack, 2, `10.0.0.${i + 1}/24`);
      addAddress(stack, 2, `fd00::${i + 1}/64`);
      return iface;
    });
    this.iface = made[0]!;
    this.friendIface = made[1]!;
    this.iface.forwards6 = forwards6;
    for (const gateway of ['10.0.0.2', 'fd00::2']) addGateway(this.stack, 2, gateway);
  }

  /** The host gets a frame. What became of it. */
  hit(frame: Uint8Array): number {
    this.slab.bytes.set(frame, this.scratch);
    return this.stack.receive(this.iface, this.scratch, frame.length, PLAIN, this.nowUs);
  }

  /** `us` pass, and everybody has his turn. */
  turn(us: number): void {
    this.nowUs += us;
    for (const stack of [this.stack, this.friend]) stack.expire(this.nowUs);
    for (let i = 0; i < 64 && this.carry(); i++);
    for (const stack of [this.stack, this.friend]) stack.dispatch(this.nowUs);
  }

  /** Turns of `us`, up to `times`, until `isDone`; false if it never was. */
  until(isDone: () => boolean, us: number, times: number): boolean {
    for (let i = 0; i < times; i++) {
      if (isDone()) return true;
      this.turn(us);
    }
    return isDone();
  }

  private carry(): boolean {
    const out = this.move(this.stack, this.iface, true);
    return this.move(this.friend, this.friendIface, false) || out;
  }

  private move(from: Stack, iface: Iface, isHost: boolean): boolean {
    const { burst } = this;
    from.poll(this.nowUs);
    burst.count = 0;
    iface.output.drain(burst);
    const { bytes, view } = from.shared;
    for (let i = 0; i < burst.count; i++) {
      const at = burst.at[i]!;
      const length = burst.length[i]!;
      if (isHost) this.onFrame?.(at, length);
      if (isHost && !isForFriend(view, at)) {
        this.lostFrames++;
        continue;
      }
      const [to, slab, place, port] = isHost
        ? ([this.friend, this.friendSlab, this.friendScratch, this.friendIface] as const)
        : ([this.stack, this.slab, this.scratch, this.iface] as const);
      slab.bytes.set(bytes.subarray(at, at + length), place);
      to.receive(port, place, length, PLAIN, this.nowUs);
    }
    return burst.count > 0;
  }

  listen(port: number, backlog = 128): number {
    const h = this.stack.sockets.socket(Family.Inet6, SocketType.Stream);
    this.stack.sockets.bind(h, parseAddress('::')!, port);
    this.stack.sockets.listen(h, backlog);
    return h;
  }

  /** A connection of the friend to the host's port: `[friend's socket, host's socket]`; undefined if it is not there in 10 s. */
  meet(listener: number, port: number, to = '10.0.0.1'): [number, number] | undefined {
    const { friend, stack } = this;
    const client = friend.sockets.socket(Family.Inet6, SocketType.Stream);
    friend.sockets.connect(client, parseAddress(to)!, port);
    let server = -1;
    const isIn = (): boolean => {
      if (server < 0) server = stack.sockets.accept(listener);
      return server >= 0;
    };
    return this.until(isIn, 10_000, 1000) ? [client, server] : undefined;
  }

  /** Sends `bytes` from the friend to the host and looks at each; false if they did not all come in time. */
  transfer([client, server]: readonly [number, number], bytes: number, turns = 5000): boolean {
    const { buffer, friend, stack } = this;
    let sent = 0;
    let got = 0;
    for (let t = 0; t < turns && got < bytes; t++) {
      const n = Math.min(buffer.length, bytes - sent);
      for (let i = 0; i < n; i++) buffer[i] = (sent + i) * 13;
      if (n > 0) sent += Math.max(0, friend.sockets.send(client, buffer, 0, n));
      this.turn(1000);
      for (;;) {
        const m = stack.sockets.receive(server, buffer, 0, buffer.length);
        if (m <= 0) break;
        for (let i = 0; i < m; i++) if (buffer[i] !== (((got + i) * 13) & 255)) throw new Error(`byte ${got + i}`);
        got += m;
      }
    }
    return got === bytes;
  }

  /** Bytes of the slab that are in use, without what the test has. */
  get usedBytes(): number {
    return this.slab.usedBytes - SCRATCH_BYTES;
  }
}

/** To the friend itself: not to someone behind it. */
function isForFriend(view: DataView, at: number): boolean {
  const type = view.getUint16(at + 12);
  if (type === 0x0800) return view.getUint32(at + 30) === 0x0a000002;
  if (type === 0x86dd)
    return view.getUint8(at + 38) === 0xff || (view.getUint16(at + 38) === 0xfd00 && view.getUint32(at + 50) === 2);
  return true;
}

const hex8 = (n: number): string => (n >>> 0).toString(16).padStart(8, '0');

/** One end of a connection to the host's port 80 over IPv4, segment by segment. */
export class RawPeer {
  readonly victim: Victim;
  /** Our next number, and what the host is to send next. */
  seq = 0x10000000;
  ack = 0;
  window = 65535;
  /** Payload bytes that the host sent, and segments. */
  received = 0;
  segments = 0;
  private readonly port: number;
  private isAsked = false;

  constructor(victim: Victim, port = 50000) {
    this.victim = victim;
    this.port = port;
    victim.onFrame = (at, length) => this.hear(at, length);
  }

  private hear(at: number, length: number): void {
    const { view } = this.victim.stack.shared;
    if (view.getUint16(at + 12) === 0x0806 && view.getUint16(at + 20) === 1 && view.getUint32(at + 38) === 0x0a000003)
      this.isAsked = true;
    if (length < 54 || view.getUint16(at + 12) !== 0x0800 || view.getUint8(at + 23) !== 6) return;
    if (view.getUint16(at + 36) !== this.port) return;
    this.segments++;
    const flags = view.getUint8(at + 47);
    const seq = view.getUint32(at + 38);
    const bytes = view.getUint16(at + 16) - 20 - 4 * (view.getUint8(at + 46) >> 4);
    if ((flags & 2) !== 0) this.ack = (seq + 1) | 0;
    else if (bytes > 0 && ((seq + bytes - this.ack) | 0) > 0) {
      this.received += (seq + bytes - this.ack) | 0;
      this.ack = (seq + bytes) | 0;
    }
  }

  /** Sends a segment. */
  say(flags: number, { data = new Uint8Array(0), options = '', seq = this.seq, ack = this.ack } = {}): void {
    if (this.isAsked) this.answer();
    const ports = `${this.port.toString(16).padStart(4, '0')}0050`;
    const window = this.window.toString(16).padStart(4, '0');
    const segment = bytesOf(
      ports,
      hex8(seq),
      hex8(ack),
      (5 + options.length / 8) << 4,
      flags,
      window,
      '00000000',
      options,
      data,
    );
    this.victim.hit(sealed(ethernet(HOST.mac, PEER.mac, '0800', ip4(6, '0a000003', HOST.ip4, segment))));
  }

  /** 10.0.0.3 has the friend's hardware address. */
  private answer(): void {
    this.isAsked = false;
    const body = bytesOf('0001080006040002', PEER.mac, '0a000003', HOST.mac, HOST.ip4);
    this.victim.hit(ethernet(HOST.mac, PEER.mac, '0806', body));
    const ask = bytesOf('0001080006040001', PEER.mac, '0a000003', '000000000000', HOST.ip4);
    this.victim.hit(ethernet(HOST.mac, PEER.mac, '0806', ask));
  }

  /** The handshake; the host's socket. */
  connect(listener: number, options = '020405b40402'.padEnd(16, '01')): number {
    const { victim } = this;
    this.answer();
    this.say(2, { options, ack: 0 });
    victim.turn(1000);
    this.seq = (this.seq + 1) | 0;
    this.say(0x10);
    victim.turn(1000);
    return victim.stack.sockets.accept(listener);
  }
}
