// A gateway that is mistreated: mutated frames of one guest, while another one's transfer with a server goes on undisturbed.
//
//   mutator ─▶ gateway ◀─▶ a peer that connects, asks and pings, and is connected to: what it says is mutated, too
//                     ◀─▶ a friend, with a transfer in both directions whose bytes are checked
//                     ◀─▶ a host of memory: servers that talk, end, reset, are slow, refuse or never answer; clients; errors
//
// No frame may make it throw, its memory and tables stay bounded, the friend's transfer goes on and its new flows succeed, what
// leaves is allowed, and in the end everything is given back.

import { Burst, PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import { Rng } from '../../core/rng.ts';
import { Slab } from '../../core/slab.ts';
import {
  type FlowView,
  Gateway,
  type GatewayStack,
  newGatewayStack,
  parseForward,
  parseGatewayNetwork,
  parseRule,
  Rules,
} from '../../slirp/slirp.ts';
import { Errno, equalAddresses, Family, parseAddress, SocketProtocol, SocketType, Stack } from '../../stack/stack.ts';
import { Offloader } from '../../wire/offload.ts';
import { SimDatagrams } from '../kit/sim-datagrams.ts';
import { SimHost, type SimPeer } from '../kit/sim-host.ts';
import { addAddress, addGateway, secretOf } from '../kit/stack-kit.ts';
import { newCorpus } from './corpus.ts';
import { byteAt } from './gateway-crowd.ts';
import { FRAME_BYTES_MAX, Mutator } from './mutator.ts';

/** What a campaign saw. */
export interface GatewayCampaignReport {
  readonly frames: number;
  readonly virtualUs: number;
  readonly friendBytes: number;
  /** Flows that the friend opened, and those that answered. */
  readonly friendAsked: number;
  readonly friendHeard: number;
  readonly usedBytesMax: number;
  readonly ringBytesMax: number;
  readonly handlesMax: number;
  readonly flowsMax: number;
  readonly neighborsMax: number;
  /** What left for places that no rule lets it reach. */
  readonly escaped: readonly string[];
  readonly left: number;
  readonly counters: Record<string, number>;
  /** Flows of nobody. */
  readonly flowsAfter: readonly FlowView[];
  readonly handlesAfterClose: number;
  readonly usedBytesAfterClose: number;
  readonly drops: Record<string, number>;
}

type Iface = ReturnType<Stack['addInterface']>;
const FRIEND_MAC = [0x02, 0x00, 0x5e, 0x77, 0x8d, 0x3c];
const FRIEND_MAC_NUMBER = FRIEND_MAC.reduce((n, byte) => n * 256 + byte, 0);
const FRIEND = ['10.0.0.141', 'fd00::7739:8d5c'];
const SERVERS = ['192.0.2.7', '198.51.100.23', '2001:db8::7'];
const FRIEND_SERVER = '203.0.113.99';
const FORWARDS = ['tcp:127.0.0.1:8080:10.0.0.2:80', 'tcp:[::1]:8081:[fd00::2]:80', 'udp:127.0.0.1:7000:10.0.0.2:7000'];
const USED_BYTES_MAX = 48 << 20;
const SOCKETS_MAX = 64;
const PIECES_BYTES = 1 << 18;
const SECONDS = 1_000_000;
const BYTES = new Uint8Array(1 << 16);

class Guest {
  readonly slab = new Slab({ bytesMax: 1 << 26 });
  readonly stack: Stack;
  readonly iface: Iface;
  readonly burst = new Burst(64);
  private readonly scratch: number;

  constructor(number: number, seed: number, mac: Uint8Array, addresses: readonly string[]) {
    this.scratch = this.slab.alloc(FRAME_BYTES_MAX + 64) + 2;
    this.stack = new Stack({ slab: this.slab, secret: secretOf(seed, number), nowUs: 0 });
    this.iface = this.stack.addInterface({ name: 'eth0', mac, mtuBytes: 1500, dadTransmits: 0 });
    for (const text of addresses) addAddress(this.stack, 2, `${text}/${text.includes(':') ? 64 : 24}`);
    for (const gateway of ['10.0.0.1', 'fd00::1']) addGateway(this.stack, 2, gateway);
  }

  take(bytes: Uint8Array, nowUs: number): void {
    this.slab.bytes.set(bytes, this.scratch);
    this.stack.receive(this.iface, this.scratch, bytes.length, PLAIN, nowUs);
  }
}

/** One campaign; everything in it follows from the seed. */
export class GatewayCampaign {
  private readonly rng: Rng;
  private readonly mutator: Mutator;
  private readonly slab = new Slab({ bytesMax: 1 << 28 });
  private readonly gate: GatewayStack;
  private readonly gateway: Gateway;
  private readonly host: SimHost;
  private readonly outside: SimDatagrams;
  private readonly peer: Guest;
  private readonly friend: Guest;
  private readonly burst = new Burst(256);
  private readonly pieces = new Burst(256);
  private readonly piecesAt: number;
  private readonly offloader: Offloader;
  private readonly scratch: number;
  private readonly usedBefore: number;
  private readonly drops = new Float64Array(128);
  private readonly escaped = new Set<string>();
  private readonly rules = new Rules();
  private readonly most = { used: 0, ring: 0, handles: 0, flows: 0, neighbors: 0 };
  private readonly transfer = { h: -1, up: 0, down: 0, sentUp: 0, sentDown: 0 };
  private readonly clients: SimPeer[] = [];
  private server: SimPeer | undefined;
  private peerSockets: number[] = [];
  private listener = -1;
  private nowUs = SECONDS;
  private frames = 0;
  private left = 0;
  private asked = 0;
  private heard = 0;

  constructor(seed: number) {
    this.rng = new Rng(seed);
    this.mutator = new Mutator(this.rng, newCorpus());
    this.scratch = this.slab.alloc(FRAME_BYTES_MAX + 64) + 2;
    this.piecesAt = this.slab.alloc(PIECES_BYTES);
    this.offloader = new Offloader(this.slab);
    let outside: SimDatagrams | undefined;
    this.host = new SimHost(this.slab, {
      bufferBytes: 1 << 15,
      datagrams: (handles) => {
        outside = new SimDatagrams(handles);
        return outside;
      },
    });
    this.outside = outside!;
    this.usedBefore = this.slab.usedBytes;
    const network = parseGatewayNetwork(
      'net=10.0.0.0/24 gateway=10.0.0.1 gateway6=fd00::1 mac=02:00:00:00:00:01 mtu=1500',
    );
    this.gate = newGatewayStack({ slab: this.slab, secret: secretOf(seed, 1), nowUs: 0, network });
    const friends = FRIEND.map((text) => parseAddress(text)!);
    this.gateway = new Gateway({
      ...this.gate,
      network,
      host: this.host,
      rules: [parseRule('deny', '198.51.100.24')],
      caps: { tcpPerGuest: 500, udpPerGuest: 500, echoPerGuest: 32, connectingPerGuest: 100 },
      whoHas: (address) => (friends.some((one) => equalAddresses(one, address)) ? FRIEND_MAC_NUMBER : 0),
    });
    for (const text of FORWARDS) this.gateway.addForward(parseForward('in', text));
    this.peer = new Guest(2, seed, Uint8Array.of(2, 0, 0, 0, 0, 2), ['10.0.0.2', 'fd00::2']);
    this.friend = new Guest(3, seed, Uint8Array.from(FRIEND_MAC), FRIEND);
    this.outside.echoes.add(FRIEND_SERVER);
    for (const server of SERVERS) this.outside.echoes.add(server);
    this.listener = this.peer.stack.sockets.socket(Family.Inet6, SocketType.Stream);
    this.peer.stack.sockets.bind(this.listener, parseAddress('::')!, 80);
    this.peer.stack.sockets.listen(this.listener, 32);
    this.meetFriend();
  }

  /** Feeds `count` frames. Throws with the frame that did harm. */
  run(count: number): GatewayCampaignReport {
    const { mutator, rng, gate } = this;
    for (let i = 0; i < count; i++) {
      mutator.next();
      // Most are for the gateway, or a switch would not have brought them.
      if (rng.chance(0.95)) mutator.frame.set(gate.iface.mac, 0);
      try {
        this.feed(mutator.frame.subarray(0, mutator.length));
        if (i % 8 === 7) this.turn();
      } catch (error) {
        const bytes = Buffer.from(mutator.frame.subarray(0, mutator.length)).toString('hex');
        throw new Error(`frame ${i} (${bytes})`, { cause: error });
      }
      if (i % 4096 === 4095) this.check();
      if (i % 20_000 === 19_999) this.askFriend();
    }
    return this.finish();
  }

  private feed(frame: Uint8Array): void {
    this.slab.bytes.set(frame, this.scratch);
    this.drops[this.gate.stack.receive(this.gate.iface, this.scratch, frame.length, PLAIN, this.nowUs)]!++;
    this.frames++;
  }

  private stacks(): readonly Stack[] {
    return [this.gate.stack, this.peer.stack, this.friend.stack];
  }

  /** A turn of everything else. */
  private turn(): void {
    const { rng } = this;
    const us = rng.chance(0.9) ? rng.below(2000) : rng.chance(0.99) ? rng.below(200_000) : rng.below(20 * SECONDS);
    this.gate.stack.dispatch(this.nowUs);
    if (rng.chance(0.5)) this.usePeer();
    if (rng.chance(0.5)) this.useHost();
    this.pass(us);
  }

  private pass(us: number): void {
    this.nowUs += us;
    this.turnTransfer();
    for (const stack of this.stacks()) stack.expire(this.nowUs);
    for (let i = 0; i < 4 && this.exchange(); i++);
    for (const stack of this.stacks()) stack.dispatch(this.nowUs);
  }

  private exchange(): boolean {
    const out = this.carryOut();
    const peer = this.carryIn(this.peer, true);
    return this.carryIn(this.friend, false) || peer || out;
  }

  /** What the gateway sends goes to whom it is for. */
  private carryOut(): boolean {
    const { gate, burst } = this;
    gate.stack.poll(this.nowUs);
    let any = false;
    for (let round = 0; round < 4; round++) {
      burst.count = 0;
      gate.iface.output.drain(burst);
      for (let i = 0; i < burst.count; i++) this.split(burst.at[i]!, burst.length[i]!, burst.offload[i]!);
      if (burst.count === 0) break;
      any = true;
    }
    return any;
  }

  /** Does what the gateway postponed. */
  private split(at: number, length: number, offload: number): void {
    const { offloader, pieces, piecesAt, slab } = this;
    pieces.count = 0;
    if (offload === PLAIN) pieces.push(at, length, PLAIN);
    else if (offloader.isSuper(offload)) offloader.segment(offload, at, length, piecesAt, PIECES_BYTES, pieces);
    else if (offloader.complete(offload, at, length) === Drop.None) pieces.push(at, length, PLAIN);
    for (let i = 0; i < pieces.count; i++)
      this.deliver(slab.bytes.subarray(pieces.at[i]!, pieces.at[i]! + pieces.length[i]!));
  }

  private deliver(bytes: Uint8Array): void {
    if (bytes.length > FRAME_BYTES_MAX) return;
    const isGroup = (bytes[0]! & 1) === 1;
    const isFriend = bytes[5] === FRIEND_MAC[5];
    if (isGroup || isFriend) this.friend.take(bytes, this.nowUs);
    if (isFriend) return;
    if (this.rng.chance(0.3)) this.mutator.note(bytes, true);
    if (this.rng.chance(0.98)) this.peer.take(bytes, this.nowUs);
  }

  private carryIn(from: Guest, isMutated: boolean): boolean {
    const { burst } = from;
    from.stack.poll(this.nowUs);
    burst.count = 0;
    from.iface.output.drain(burst);
    for (let i = 0; i < burst.count; i++) {
      const bytes = from.slab.bytes.subarray(burst.at[i]!, burst.at[i]! + burst.length[i]!);
      if (isMutated && this.rng.chance(0.3)) this.mutator.note(bytes, false);
      if (isMutated && this.rng.chance(0.02)) continue;
      this.slab.bytes.set(bytes, this.scratch);
      this.gate.stack.receive(this.gate.iface, this.scratch, bytes.length, PLAIN, this.nowUs);
    }
    return burst.count > 0;
  }

  // The friend

  private meetFriend(): void {
    const { friend, host, transfer } = this;
    host.answer(`${FRIEND_SERVER}:443`, 'accept');
    host.answer(`${FRIEND_SERVER}:80`, 'accept');
    this.outside.place(`${FRIEND_SERVER}:53`, ({ bytes }) => bytes);
    transfer.h = friend.stack.sockets.socket(Family.Inet, SocketType.Stream);
    friend.stack.sockets.connect(transfer.h, parseAddress(FRIEND_SERVER)!, 443);
    for (let i = 0; i < 100 && !this.server; i++) {
      this.pass(1000);
      this.server = host.peers.find(({ where }) => where === `${FRIEND_SERVER}:443`);
    }
    if (!this.server) throw new Error('the friend did not come');
  }

  private turnTransfer(): void {
    const { transfer, friend, server, rng } = this;
    if (!server) return;
    const { sockets } = friend.stack;
    const count = 1 + rng.below(3000);
    for (let i = 0; i < count; i++) BYTES[i] = byteAt(transfer.sentUp + i);
    const n = sockets.send(transfer.h, BYTES, 0, count);
    if (n > 0) transfer.sentUp += n;
    else if (n !== -Errno.EAGAIN) throw new Error(`the friend's transfer ended with ${n}`);
    for (let i = 0; i < count; i++) BYTES[i] = byteAt(transfer.sentDown + i);
    transfer.sentDown += server.write(BYTES.subarray(0, count));
    const up = server.read();
    up.forEach((byte, i) => {
      if (byte !== byteAt(transfer.up + i)) throw new Error(`byte ${transfer.up + i} of the friend is wrong`);
    });
    transfer.up += up.length;
    const m = sockets.receive(transfer.h, BYTES, 0, BYTES.length);
    if (m < 0 && m !== -Errno.EAGAIN) throw new Error(`the friend's transfer ended with ${m}`);
    for (let i = 0; i < m; i++)
      if (BYTES[i] !== byteAt(transfer.down + i)) throw new Error(`byte ${transfer.down + i} to the friend is wrong`);
    if (m > 0) transfer.down += m;
  }

  /** The friend opens one flow of each kind. Nobody attacks meanwhile. */
  private askFriend(): void {
    const { sockets } = this.friend.stack;
    this.outside.isBlocked = false;
    const to = parseAddress(FRIEND_SERVER)!;
    const stream = sockets.socket(Family.Inet, SocketType.Stream);
    const udp = sockets.socket(Family.Inet, SocketType.Datagram);
    const echo = sockets.socket(Family.Inet, SocketType.Datagram, SocketProtocol.Icmp);
    sockets.connect(stream, to, 80);
    sockets.sendTo(udp, Uint8Array.of(1, 2, 3), 0, 3, to, 53);
    sockets.sendTo(echo, Uint8Array.of(8, 0, 0, 0, 0, 0, 0, 1), 0, 8, to, 0);
    for (let i = 0; i < 50; i++) this.pass(10_000);
    this.asked += 3;
    if (sockets.send(stream, BYTES, 0, 1) === 1) this.heard++;
    if (sockets.receive(udp, BYTES, 0, 10) === 3) this.heard++;
    if (sockets.receive(echo, BYTES, 0, 10) === 8) this.heard++;
    for (const h of [stream, udp, echo]) sockets.close(h);
  }

  // The peer, and the host

  private usePeer(): void {
    const { rng, peer, peerSockets } = this;
    const { sockets } = peer.stack;
    const accepted = sockets.accept(this.listener);
    if (accepted >= 0) peerSockets.push(accepted);
    if (rng.chance(0.2) && peerSockets.length < SOCKETS_MAX) this.openOfPeer();
    if (peerSockets.length === 0) return;
    const i = rng.below(peerSockets.length);
    const h = peerSockets[i]!;
    sockets.receive(h, BYTES, 0, rng.below(BYTES.length));
    sockets.send(h, BYTES, 0, rng.below(4000));
    if (rng.chance(0.05)) sockets.shutdown(h, 1);
    if (!rng.chance(0.08)) return;
    if (rng.chance(0.5)) sockets.close(h);
    else sockets.abort(h);
    peerSockets.splice(i, 1);
  }

  private openOfPeer(): void {
    const { rng, peer } = this;
    const { sockets } = peer.stack;
    const places = [...SERVERS, '198.51.100.24', '10.0.0.1', 'fd00::1', '127.0.0.1', '10.0.0.77', '::ffff:127.0.0.1'];
    const text = places[rng.below(places.length)]!;
    const to = parseAddress(text)!;
    const family = text.includes(':') ? Family.Inet6 : Family.Inet;
    const kind = rng.below(3);
    if (kind === 0) {
      const h = sockets.socket(family, SocketType.Stream);
      sockets.connect(h, to, 80 + rng.below(6));
      this.peerSockets.push(h);
      return;
    }
    const protocol = kind === 1 ? 0 : family === Family.Inet6 ? SocketProtocol.Icmp6 : SocketProtocol.Icmp;
    const h = sockets.socket(family, SocketType.Datagram, protocol);
    BYTES.fill(0, 0, 8);
    BYTES[0] = family === Family.Inet6 ? 128 : 8;
    sockets.sendTo(h, BYTES, 0, 8 + rng.below(3000), to, kind === 1 ? 50 + rng.below(6) : 0);
    this.peerSockets.push(h);
  }

  private useHost(): void {
    const { rng, host, outside } = this;
    if (rng.chance(0.05)) this.changeServers();
    const { peers } = host;
    if (peers.length > 0) {
      const one = peers[rng.below(peers.length)]!;
      if (one !== this.server && !one.isClosed) this.play(one);
    }
    if (rng.chance(0.1)) {
      const to = ['127.0.0.1:8080', '[::1]:8081'][rng.below(2)]!;
      const from = to.startsWith('[')
        ? `[2001:db8::${rng.below(9)}]:${1024 + rng.below(60_000)}`
        : `203.0.113.${rng.below(250)}:99`;
      const client = host.connectFrom(from, to);
      if (client) this.clients.push(client);
    }
    if (this.clients.length > 0) this.play(this.clients[rng.below(this.clients.length)]!);
    if (rng.chance(0.1))
      outside.inject(
        `203.0.113.${rng.below(250)}:${1 + rng.below(65535)}`,
        '127.0.0.1:7000',
        BYTES.slice(0, rng.below(2000)),
      );
    if (rng.chance(0.2)) this.failSomething();
    if (host.peers.length > 3000) this.forget();
  }

  /** What an end outside does: a server's or a client's. */
  private play(one: SimPeer): void {
    const { rng } = this;
    if (!one.isConnected && one.errno === 0 && rng.chance(0.3)) {
      if (rng.chance(0.7)) one.accept();
      else one.fail([Errno.ECONNREFUSED, Errno.EHOSTUNREACH, Errno.ETIMEDOUT, Errno.ENETUNREACH][rng.below(4)]!);
      return;
    }
    if (!one.isConnected) return;
    if (rng.chance(0.6)) one.read(rng.below(100_000));
    if (rng.chance(0.6) && !one.leaving.isEnded) one.write(BYTES.subarray(0, rng.below(20_000)));
    if (rng.chance(0.1)) one.end();
    if (rng.chance(0.05)) one.reset();
  }

  private changeServers(): void {
    const { rng, host, outside } = this;
    const server = SERVERS[rng.below(SERVERS.length)]!;
    const where = server.includes(':') ? `[${server}]` : server;
    const answers = ['accept', 'accept', 'accept', 'hold', 'never', Errno.ECONNREFUSED, Errno.ENETUNREACH] as const;
    host.answer(`${where}:${80 + rng.below(6)}`, answers[rng.below(answers.length)]!);
    const isLoud = rng.chance(0.7);
    outside.place(`${where}:${50 + rng.below(6)}`, ({ bytes }) => (isLoud ? bytes : undefined));
    outside.isBlocked = rng.chance(0.02);
    outside.mtuBytes = rng.chance(0.5) ? 1400 : 65_575;
  }

  /** An error comes back to a socket that sent lately. */
  private failSomething(): void {
    const { rng, outside } = this;
    const sent = outside.sent.at(-1);
    if (!sent || sent.to.startsWith(FRIEND_SERVER)) return;
    const isIp6 = sent.to.startsWith('[') || sent.to.includes('::');
    const at = /^\[?(.*?)\]?(?::(\d+))?$/.exec(sent.to)!;
    const target = isIp6 && !sent.to.startsWith('[') ? sent.to : at[1]!;
    const types = isIp6 ? [1, 2, 3, 4, 137] : [3, 4, 5, 11, 12];
    const errno = Errno.EHOSTUNREACH;
    const [type, code, info] = [types[rng.below(5)]!, rng.below(16), rng.below(1600)];
    outside.fail(sent.h, {
      errno,
      type,
      code,
      info,
      target,
      port: Number(at[2] ?? 0),
      bytes: sent.bytes.slice(0, rng.below(64)),
    });
  }

  /** What is long over is forgotten, and what left is looked at. */
  private forget(): void {
    const { host, outside } = this;
    const kept = host.peers.filter((one) => !one.isClosed);
    for (const { where } of host.peers) this.judge(where);
    for (const { to } of outside.sent) this.judge(to);
    this.left += host.peers.length - kept.length + outside.sent.length;
    host.peers.splice(0, host.peers.length, ...kept);
    outside.sent.length = 0;
    const open = this.clients.filter((one) => !one.isClosed);
    this.clients.splice(0, this.clients.length, ...open);
  }

  private judge(where: string): void {
    const text = where.startsWith('[') || !where.includes('::') ? /^\[?([^\]]*?)\]?(:\d+)?$/.exec(where)![1]! : where;
    const isForward = where.startsWith('203.0.113.') || where.startsWith('[2001:db8::'); // an answer to a client
    if (!isForward && !this.rules.allows(6, parseAddress(text)!, 80)) this.escaped.add(where);
  }

  private check(): void {
    const { most, slab, gate, host } = this;
    most.used = Math.max(most.used, slab.usedBytes);
    most.ring = Math.max(most.ring, gate.stack.tcp.ringBytes);
    most.handles = Math.max(most.handles, host.openHandles);
    most.flows = Math.max(most.flows, this.countFlows());
    most.neighbors = Math.max(most.neighbors, gate.stack.autoconf.neighbors.count);
    if (slab.usedBytes > USED_BYTES_MAX) throw new Error(`${slab.usedBytes} bytes of the slab are in use`);
    if (this.outside.sent.length > 10_000) this.forget();
  }

  private countFlows(): number {
    let count = 0;
    for (const _ of this.gateway.flows()) count++;
    return count;
  }

  /** Lets the transfer go on, ends everything of the peer, waits for hours, closes: what is held then. */
  private finish(): GatewayCampaignReport {
    const { most, gateway, gate, host, transfer } = this;
    this.forget();
    const bytes = transfer.up + transfer.down;
    for (let i = 0; i < 2000; i++) this.turn();
    const friendBytes = transfer.up + transfer.down;
    if (friendBytes === bytes) throw new Error('the friend waits');
    this.forget();
    for (const h of this.peerSockets) this.peer.stack.sockets.abort(h);
    this.peer.stack.sockets.close(this.listener);
    this.friend.stack.sockets.abort(transfer.h);
    this.server = undefined;
    for (let i = 0; i < 3000; i++) {
      for (const one of [...host.peers, ...this.clients]) {
        if (one.isClosed || !one.isConnected) continue;
        one.read();
        one.end();
      }
      for (const one of host.peers) if (!one.isClosed && !one.isConnected && one.errno === 0) one.fail(Errno.ETIMEDOUT);
      this.pass(5 * SECONDS);
    }
    const flowsAfter = [...gateway.flows()].filter(({ protocol }) => protocol !== 'udp');
    const counters: Record<string, number> = { ...gateway.counters };
    gateway.close();
    gate.stack.close();
    const drops: Record<string, number> = {};
    for (const [name, drop] of Object.entries(Drop)) if (this.drops[drop]! > 0) drops[name] = this.drops[drop]!;
    return {
      frames: this.frames,
      virtualUs: this.nowUs,
      friendBytes,
      friendAsked: this.asked,
      friendHeard: this.heard,
      usedBytesMax: most.used,
      ringBytesMax: most.ring,
      handlesMax: most.handles,
      flowsMax: most.flows,
      neighborsMax: most.neighbors,
      escaped: [...this.escaped],
      left: this.left,
      counters,
      flowsAfter,
      handlesAfterClose: host.openHandles,
      usedBytesAfterClose: this.slab.usedBytes - this.usedBefore,
      drops,
    };
  }
}
