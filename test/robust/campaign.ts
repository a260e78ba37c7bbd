// A stack that is mistreated: mutated frames come in by one interface, while on another a transfer goes on undisturbed.
//
//   mutator ─▶ eth0 of the host ◀─▶ a peer with connections that open, talk and close: what it says is mutated, too
//              eth1 of the host ◀─▶ a friend, with a transfer in both directions whose bytes are checked
//
// Between frames the host's clock moves by chance, its programs accept, read, write and close. No frame may make it throw,
// its memory and tables stay bounded, the friend's transfer goes on, and in the end everything is given back.

import { Burst, PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import { Rng } from '../../core/rng.ts';
import { Slab } from '../../core/slab.ts';
import { Family, MessageFlag, parseAddress, Ready, SocketOption, SocketType, Stack } from '../../stack/stack.ts';
import { addAddress, secretOf } from '../kit/stack-kit.ts';
import { newCorpus } from './corpus.ts';
import { FRAME_BYTES_MAX, Mutator } from './mutator.ts';

/** What a campaign saw. */
export interface CampaignReport {
  readonly frames: number;
  readonly virtualUs: number;
  readonly friendBytes: number;
  readonly peerConnections: number;
  readonly usedBytesMax: number;
  readonly neighborsMax: number;
  readonly connectionsMax: number;
  readonly heldAfterSocketsClosed: number;
  readonly usedBytesAfterClose: number;
  /** Frames by what became of them. */
  readonly drops: Record<string, number>;
}

type Iface = ReturnType<Stack['addInterface']>;
const SLAB_BYTES = 1 << 26;
const PORT = 80;
const FRIEND_PORT = 7777;
const USED_BYTES_MAX = 24 << 20;
const SOCKETS_MAX = 64;

/** A host on one or two links, driven by hand. */
class Node {
  readonly slab: Slab;
  readonly stack: Stack;
  readonly ifaces: Iface[] = [];
  readonly scratch: number;
  readonly burst = new Burst(64);

  constructor(number: number, seed: number, macs: readonly number[]) {
    this.slab = new Slab({ bytesMax: SLAB_BYTES });
    this.scratch = this.slab.alloc(FRAME_BYTES_MAX + 64) + 2;
    this.stack = new Stack({ slab: this.slab, secret: secretOf(seed, number), nowUs: 0 });
    for (const mac of macs) {
      const options = { name: `eth${this.ifaces.length}`, mac: Uint8Array.of(2, 0, 0, 0, 0, mac), mtuBytes: 1500 };
      this.ifaces.push(this.stack.addInterface({ ...options, dadTransmits: 0 }));
    }
  }

  take(iface: Iface, bytes: Uint8Array, length: number, nowUs: number): Drop {
    this.slab.bytes.set(length === bytes.length ? bytes : bytes.subarray(0, length), this.scratch);
    return this.stack.receive(iface, this.scratch, length, PLAIN, nowUs);
  }
}

/** A transfer in both directions over one connection; every byte is what its place says. */
class Transfer {
  bytes = 0;
  private readonly ends: readonly { node: Node; socket: number }[];
  private readonly sent = [0, 0];
  private readonly got = [0, 0];
  private readonly buffer = new Uint8Array(4096);

  constructor(a: { node: Node; socket: number }, b: { node: Node; socket: number }) {
    this.ends = [a, b];
  }

  turn(): void {
    const { buffer } = this;
    this.ends.forEach(({ node, socket }, i) => {
      const { sockets } = node.stack;
      for (let k = 0; k < buffer.length; k++) buffer[k] = (this.sent[i]! + k) * 31 + ((this.sent[i]! + k) >>> 8);
      const n = sockets.send(socket, buffer, 0, 1 + (this.sent[i]! % 3000));
      if (n > 0) this.sent[i]! += n;
      else if (n !== -11) throw new Error(`the friend's transfer ended with ${n}`);
      const m = sockets.receive(socket, buffer, 0, buffer.length);
      if (m < 0 && m !== -11) throw new Error(`the friend's transfer ended with ${m}`);
      for (let k = 0; k < m; k++) {
        const at = this.got[i]! + k;
        if (buffer[k] !== ((at * 31 + (at >>> 8)) & 255)) throw new Error(`byte ${at} of the friend is wrong`);
      }
      if (m > 0) {
        this.got[i]! += m;
        this.bytes += m;
      }
    });
  }
}

/** One campaign; everything in it follows from the seed. */
export class Campaign {
  private readonly rng: Rng;
  private readonly mutator: Mutator;
  private readonly host: Node;
  private readonly peer: Node;
  private readonly friend: Node;
  private readonly transfer: Transfer;
  private readonly buffer = new Uint8Array(4096);
  private readonly drops = new Float64Array(128);
  private readonly listeners: number[] = [];
  private hostSockets: number[] = [];
  private peerSockets: number[] = [];
  private nowUs = 1_000_000;
  private frames = 0;
  private peerConnections = 0;
  private readonly most = { used: 0, neighbors: 0, connections: 0 };

  constructor(seed: number) {
    this.rng = new Rng(seed);
    this.mutator = new Mutator(this.rng, newCorpus());
    this.host = new Node(1, seed, [1, 0x11]);
    this.peer = new Node(2, seed, [2]);
    this.friend = new Node(3, seed, [3]);
    const { host, peer, friend } = this;
    for (const text of ['10.0.0.1/24', 'fd00::1/64']) addAddress(host.stack, 2, text);
    for (const text of ['10.9.0.1/24', 'fd09::1/64']) addAddress(host.stack, 3, text);
    for (const text of ['10.0.0.2/24', 'fd00::2/64']) addAddress(peer.stack, 2, text);
    for (const text of ['10.9.0.3/24', 'fd09::3/64']) addAddress(friend.stack, 2, text);
    for (const iface of host.ifaces) {
      iface.forwards4 = true;
      iface.forwards6 = seed % 2 === 1; // a router takes no advertisements, a host does
    }
    host.stack.configuration.apply('dhcp,dhcp6,rd,slaac,temp,fqdn=host.local', 2);
    this.openHostSockets();
    this.openPeerSockets();
    this.transfer = this.meetFriend();
  }

  /** Feeds `count` frames. Throws with the frame that did harm. */
  run(count: number): CampaignReport {
    for (let i = 0; i < count; i++) {
      this.mutator.next();
      try {
        this.feed();
        if (i % 8 === 7) this.turn();
      } catch (error) {
        const bytes = Buffer.from(this.mutator.frame.subarray(0, this.mutator.length)).toString('hex');
        throw new Error(`frame ${i} (${bytes})`, { cause: error });
      }
      if (i % 4096 === 4095) this.check();
    }
    return this.finish();
  }

  private feed(): void {
    const { mutator, host } = this;
    const iface = host.ifaces[0]!;
    this.drops[host.take(iface, mutator.frame, mutator.length, this.nowUs)]!++;
    this.frames++;
  }

  /** A turn of everything else. */
  private turn(): void {
    const { rng } = this;
    this.nowUs += rng.chance(0.9) ? rng.below(2000) : rng.chance(0.99) ? rng.below(200_000) : rng.below(20_000_000);
    if (rng.chance(0.5)) this.usePeer();
    if (rng.chance(0.5)) this.useHost();
    this.transfer.turn();
    for (const { stack } of [this.host, this.peer, this.friend]) stack.expire(this.nowUs);
    for (let i = 0; i < 4 && this.exchange(); i++);
    for (const { stack } of [this.host, this.peer, this.friend]) stack.dispatch(this.nowUs);
  }

  /** Everybody sends what he has; true if there was something. */
  private exchange(): boolean {
    const { host, peer, friend } = this;
    let any = this.carry(host, 0, peer);
    any = this.carry(host, 1, friend) || any;
    any = this.carry(peer, 0, host, 0) || any;
    return this.carry(friend, 0, host, 1) || any;
  }

  private carry(from: Node, port: number, to: Node, toPort = 0): boolean {
    const { burst } = from;
    from.stack.poll(this.nowUs);
    const { output } = from.ifaces[port]!;
    let any = false;
    for (let rounds = 0; rounds < 4; rounds++) {
      burst.count = 0;
      output.drain(burst);
      for (let i = 0; i < burst.count; i++) {
        const at = burst.at[i]!;
        const length = burst.length[i]!;
        const bytes = from.slab.bytes.subarray(at, at + length);
        const isFriend = from === this.friend || to === this.friend;
        if (!isFriend && this.rng.chance(0.3)) this.mutator.note(bytes, from === this.host);
        if (length <= FRAME_BYTES_MAX && (isFriend || this.rng.chance(0.98)))
          to.take(to.ifaces[toPort]!, bytes, length, this.nowUs);
      }
      if (burst.count === 0) break;
      any = true;
    }
    return any;
  }

  private openHostSockets(): void {
    const { sockets } = this.host.stack;
    const add = (family: number, type: number, protocol = 0): number => {
      const h = sockets.socket(family, type, protocol);
      if (h < 0) throw new Error(`socket ${family} ${type} ${protocol}: ${h}`);
      return h;
    };
    const any = parseAddress('::')!;
    for (const port of [PORT, FRIEND_PORT]) {
      const listener = add(Family.Inet6, SocketType.Stream);
      sockets.bind(listener, any, port);
      sockets.listen(listener, 32);
      this.listeners.push(listener);
    }
    const udp = add(Family.Inet6, SocketType.Datagram);
    sockets.bind(udp, any, 7000);
    const connected = add(Family.Inet, SocketType.Datagram);
    sockets.setOption(connected, SocketOption.ReceiveErrors, 1);
    sockets.connect(connected, parseAddress('10.0.0.2')!, 7001);
    const all = [udp, connected, add(Family.Inet, SocketType.Datagram, 1), add(Family.Inet6, SocketType.Datagram, 58)];
    for (const protocol of [1, 6, 17]) all.push(add(Family.Inet, SocketType.Raw, protocol));
    for (const protocol of [58, 17, 89]) all.push(add(Family.Inet6, SocketType.Raw, protocol));
    all.push(add(Family.Packet, SocketType.Raw, 3));
    this.hostSockets = all;
  }

  private openPeerSockets(): void {
    const { sockets } = this.peer.stack;
    const listener = sockets.socket(Family.Inet6, SocketType.Stream);
    sockets.bind(listener, parseAddress('::')!, PORT);
    sockets.listen(listener, 32);
    this.peerSockets = [listener];
  }

  private meetFriend(): Transfer {
    const { host, friend } = this;
    const socket = friend.stack.sockets.socket(Family.Inet6, SocketType.Stream);
    friend.stack.sockets.connect(socket, parseAddress('fd09::1')!, FRIEND_PORT);
    for (let i = 0; i < 100; i++) {
      this.nowUs += 1000;
      for (const { stack } of [host, friend]) stack.expire(this.nowUs);
      this.exchange();
      const accepted = host.stack.sockets.accept(this.listeners[1]!);
      if (accepted >= 0) return new Transfer({ node: friend, socket }, { node: host, socket: accepted });
    }
    throw new Error('the friend did not come');
  }

  private useHost(): void {
    const { rng, host, buffer } = this;
    const { sockets, streams } = host.stack;
    const accepted = sockets.accept(this.listeners[0]!);
    if (accepted >= 0) this.hostSockets.push(accepted);
    if (rng.chance(0.02)) this.connect(host, rng.chance(0.5) ? '10.0.0.2' : 'fd00::2', this.hostSockets);
    if (rng.chance(0.01)) void host.stack.configuration.lookup('test.example').catch(() => {});
    if (rng.chance(0.01))
      void streams.ping(rng.chance(0.5) ? '10.0.0.2' : 'fd00::2', { timeoutUs: 1e6 }).catch(() => {});
    if (this.hostSockets.length === 0) return;
    const h = this.hostSockets[rng.below(this.hostSockets.length)]!;
    const target = parseAddress(rng.chance(0.5) ? '10.0.0.2' : 'fd00::2')!;
    sockets.receiveFrom(h, buffer, 0, buffer.length, rng.chance(0.1) ? MessageFlag.ErrorQueue : 0);
    sockets.send(h, buffer, 0, rng.below(buffer.length));
    sockets.sendTo(h, buffer, 0, rng.below(2000), target, 7001);
    if (rng.chance(0.1)) this.endOne(host, h, this.hostSockets, 11);
  }

  private usePeer(): void {
    const { rng, peer, buffer } = this;
    const { sockets } = peer.stack;
    const accepted = sockets.accept(this.peerSockets[0]!);
    if (accepted >= 0) this.peerSockets.push(accepted);
    if (rng.chance(0.1)) this.connect(peer, rng.chance(0.5) ? '10.0.0.1' : 'fd00::1', this.peerSockets);
    if (this.peerSockets.length < 2) return;
    const h = this.peerSockets[1 + rng.below(this.peerSockets.length - 1)]!;
    sockets.receive(h, buffer, 0, buffer.length);
    sockets.send(h, buffer, 0, rng.below(buffer.length));
    if (rng.chance(0.05)) this.endOne(peer, h, this.peerSockets, 1);
  }

  private connect(node: Node, to: string, list: number[]): void {
    if (list.length > SOCKETS_MAX) return;
    const { sockets } = node.stack;
    const h = sockets.socket(Family.Inet6, SocketType.Stream);
    if (h < 0) return;
    sockets.connect(h, parseAddress(to)!, PORT);
    list.push(h);
    if (node === this.peer) this.peerConnections++;
  }

  /** Ends a stream in one of the ways; the first `kept` of the list stay. */
  private endOne(node: Node, h: number, list: number[], kept: number): void {
    const { sockets } = node.stack;
    const at = list.indexOf(h);
    const how = this.rng.below(4);
    if (at < kept || (how === 3 && (sockets.poll(h) & Ready.Hup) === 0)) {
      if (at >= kept) sockets.shutdown(h, 1);
      return;
    }
    if (how === 0) sockets.abort(h);
    else sockets.close(h);
    list.splice(at, 1);
  }

  private check(): void {
    const { host, most } = this;
    const { stack, slab } = host;
    most.used = Math.max(most.used, slab.usedBytes);
    most.neighbors = Math.max(most.neighbors, stack.autoconf.neighbors.count);
    most.connections = Math.max(most.connections, stack.tcp.connections);
    if (slab.usedBytes > USED_BYTES_MAX) throw new Error(`${slab.usedBytes} bytes of the slab are in use`);
    if (stack.autoconf.neighbors.count > stack.limits.neighborsMax) throw new Error('too many neighbours');
    if (stack.tcp.connections > 512 + stack.limits.halfOpenMax) throw new Error(`${stack.tcp.connections} connections`);
  }

  /** What connections of the host there are. */
  private leftOver(): string {
    const { tcp } = this.host.stack;
    const all: string[] = [`${tcp.connections}`];
    for (let c = 0; c < 8192 && all.length <= tcp.connections; c++) {
      const { state, ...info } = tcp.info(c);
      if (state !== 'CLOSED' && state !== 'TIME-WAIT')
        all.push(`${c} ${state} ${tcp.localPort(c)}-${tcp.remotePort(c)} ${JSON.stringify(info)}`);
    }
    return all.join('; ');
  }

  /** Closes all sockets, waits for a day, then closes the stack: what is still held then. */
  private finish(): CampaignReport {
    const { host, most, transfer } = this;
    const { stack, slab } = host;
    for (let i = 0; i < 2000; i++) this.turn();
    const friendBytes = transfer.bytes;
    for (let i = 0; i < 500; i++) this.turn();
    if (transfer.bytes === friendBytes) throw new Error('the friend waits');
    for (let h = 0; h < 4096; h++) stack.sockets.abort(h);
    for (let i = 0; i < 4000; i++) {
      this.nowUs += 60_000_000;
      stack.expire(this.nowUs);
      stack.poll(this.nowUs);
      for (const iface of host.ifaces) {
        do host.burst.count = 0;
        while (iface.output.drain(host.burst));
      }
      stack.dispatch(this.nowUs);
    }
    if (stack.tcp.connections > 0) throw new Error(`connections are left: ${this.leftOver()}`);
    const heldAfterSocketsClosed = slab.usedBytes;
    stack.close();
    const drops: Record<string, number> = {};
    for (const [name, drop] of Object.entries(Drop)) if (this.drops[drop]! > 0) drops[name] = this.drops[drop]!;
    return {
      frames: this.frames,
      virtualUs: this.nowUs,
      friendBytes,
      peerConnections: this.peerConnections,
      usedBytesMax: most.used,
      neighborsMax: most.neighbors,
      connectionsMax: most.connections,
      heldAfterSocketsClosed,
      usedBytesAfterClose: slab.usedBytes - 2 ** Math.ceil(Math.log2(FRAME_BYTES_MAX + 64)),
      drops,
    };
  }
}
