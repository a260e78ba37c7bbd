// What a crowd of guests costs a gateway, and what one of them can do to the others.

import { Rng } from '../../core/rng.ts';
import { DROP, PASS } from '../../sim/sim.ts';
import { Crowd, type CrowdOptions, GATE_MAC, SERVER, SERVER6, Transfer } from './gateway-crowd.ts';
import { bytesOf, ethernet, ip4, ip6, sealed, zeros } from './packets.ts';

export type Report = Record<string, unknown>;

const collect = (globalThis as { gc?: () => void }).gc ?? (() => {});
const LIAR = '0200000000ee'; // a MAC that no guest has
const SERVER_HEX = 'c0000207';
const SERVER6_HEX = '20010db8000000000000000000000007';
const SLOW_MS = 16_000;
const LINK = { delayUs: 50, rateBps: 100_000_000, queueFramesMax: 256 };

const hex = (n: number, digits: number): string => (n >>> 0).toString(16).padStart(digits, '0');
/** 10.0.2.N. */
const guest4 = (n: number): string => `0a0002${hex(n, 2)}`;
const guest6 = (n: number): string => `fd00000000000000ffff0000${hex(n, 8)}`;
const tcpOf = (port: number, to: number, seq: number, flags: number): Uint8Array =>
  bytesOf(hex(port, 4), hex(to, 4), hex(seq, 8), '00000000', 0x50, flags, 'ffff00000000');
const udpOf = (port: number, to: number, bytes = 8): Uint8Array =>
  bytesOf(hex(port, 4), hex(to, 4), '00000000', zeros(bytes));
const from4 = (mac: string, from: string, protocol: number, body: Uint8Array, options = {}): Uint8Array =>
  sealed(ethernet(GATE_MAC, mac, '0800', ip4(protocol, from, SERVER_HEX, body, options)));
const from6 = (mac: string, from: string, protocol: number, body: Uint8Array): Uint8Array =>
  sealed(ethernet(GATE_MAC, mac, '86dd', ip6(protocol, from, SERVER6_HEX, body)));

function heapBytes(): number {
  collect();
  collect();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}

/** `count` guests, each with `tcpEach` connections and `udpEach` mappings at a time. */
export function crowd(count: number, tcpEach = 100, udpEach = 50): Report {
  const lab = new Crowd({ guests: count });
  lab.serve();
  lab.run(10_000_000);
  const heapBefore = heapBytes();
  const slabBefore = lab.slab.usedBytes;
  const first = meet(lab, count);
  const flows: [number, number, string][] = [];
  const asks: [number, number, string][] = [];
  for (let i = 0; i < Math.max(tcpEach, udpEach); i++) {
    for (let g = 0; g < count; g++) {
      if (i < tcpEach) flows.push([g, lab.connect(g, i % 2 ? SERVER : SERVER6), `flow ${g} ${i}`]);
      if (i < udpEach) asks.push([g, lab.udp(g, i % 2 === 0), `ask ${g} ${i}`]);
    }
    lab.run(20_000);
  }
  const good = talk(lab, flows, asks);
  const most = lab.flows();
  const heapEach = (heapBytes() - heapBefore) / (flows.length + asks.length);
  const slabEach = (lab.slab.usedBytes - slabBefore) / (flows.length + asks.length);
  const idle = rest(lab);
  const goodLater = talk(lab, flows, []);
  for (const [g, h] of [...flows, ...asks]) lab.guests[g]!.sockets.close(h);
  for (let i = 0; i < 20; i++) {
    lab.echo();
    lab.run(10_000_000);
  }
  const left = lab.flows();
  const { counters } = lab.gateway;
  const connections = lab.gate.tcp.connections - 1; // the interceptor
  return { first, good, goodLater, most, heapEach, slabEach, ...idle, left, connections, counters, ...lab.close() };
}

/** Each guest has an address of the advertisement, and connects, asks and pings at once, by both families: how many did. */
function meet(lab: Crowd, count: number): Report {
  const all = Array.from({ length: count }, (_, g) => {
    const hs = [SERVER, SERVER6].map((to) => {
      const stream = lab.connect(g, to);
      const udp = lab.udp(g, to === SERVER6);
      lab.send(g, stream, `hello ${g}`);
      lab.sendTo(g, udp, `where ${g}`, to);
      return { stream, udp, ping: lab.ping(g, to) };
    });
    return { g, hs };
  });
  lab.run(200_000);
  for (const { g, hs } of all) for (const { stream } of hs) lab.send(g, stream, `hello ${g}`);
  lab.run(200_000);
  lab.echo();
  lab.run(200_000);
  let tcp = 0;
  let udp = 0;
  let pings = 0;
  for (const { g, hs } of all) {
    for (const one of hs) {
      if (lab.read(g, one.stream) === `hello ${g}`) tcp++;
      if (lab.read(g, one.udp) === `where ${g}`) udp++;
      if (typeof lab.read(g, one.ping) === 'string') pings++;
      for (const h of [one.stream, one.udp, one.ping]) lab.guests[g]!.sockets.close(h);
    }
  }
  for (let i = 0; i < 30; i++) {
    lab.echo();
    lab.run(5_000_000);
  }
  return { tcp, udp, pings };
}

/** Everybody says something of its own and hears it again: how many do. */
function talk(lab: Crowd, flows: [number, number, string][], asks: [number, number, string][]): number {
  for (const [g, h, text] of flows) lab.send(g, h, text);
  for (const [g, h, text] of asks)
    lab.sendTo(g, h, text, text.endsWith('0') || Number(text.at(-1)) % 2 === 0 ? SERVER6 : SERVER);
  lab.run(200_000);
  lab.echo();
  lab.run(200_000);
  let good = 0;
  for (const [g, h, text] of [...flows, ...asks]) if (lab.read(g, h) === text) good++;
  return good;
}

/** What a gateway with idle flows has to do: turns in ten minutes, after its mappings have gone. */
function rest(lab: Crowd): Report {
  lab.run(200_000_000);
  const before = lab.host.dispatches;
  const calls = lab.host.calls;
  for (let i = 0; i < 600; i++) lab.run(1_000_000);
  // A run touches every node once, and advertisements go out.
  const idleTurns = lab.host.dispatches - before - 600;
  const idleCalls = lab.host.calls - calls;
  lab.world.run({ untilUs: lab.world.nowUs }); // settled
  return { idleTurns, idleCalls };
}

/** A liar's frames while a guest uploads and downloads: its share of what it had alone, and what the liar got. */
function underAttack(
  options: Partial<CrowdOptions>,
  frame: (i: number, rng: Rng, transfer: Transfer) => Uint8Array,
  count: number,
): Report {
  const lab = new Crowd({ guests: 3, link: LINK, ...options });
  lab.serve();
  lab.run(5_000_000);
  const transfer = new Transfer(lab, 0);
  const run = (us: number): void => {
    for (const endUs = lab.world.nowUs + us; lab.world.nowUs < endUs; ) {
      transfer.turn();
      lab.run(1000);
    }
  };
  const ms = (n: number, each: () => void): number => {
    const { bytes } = transfer;
    const { nowUs } = lab.world;
    for (let i = 0; i < n; i++) {
      each();
      run(1000);
    }
    return (transfer.bytes - bytes) / (lab.world.nowUs - nowUs);
  };
  ms(300, () => {});
  const alone = ms(300, () => {});
  const rng = new Rng(3);
  let i = 0;
  let usedMax = 0;
  let ringMax = 0;
  const flowsMax: Record<string, number> = {};
  const others = { asked: 0, tcp: 0, udp: 0, ping: 0 };
  const attacked = ms(count / 50, () => {
    for (let k = 0; k < 50; k++) lab.hit(frame(i++, rng, transfer));
    lab.turn();
    usedMax = Math.max(usedMax, lab.slab.usedBytes);
    ringMax = Math.max(ringMax, lab.gate.tcp.ringBytes);
    if (i % 5000 !== 0) return;
    for (const [key, n] of Object.entries(lab.flows())) flowsMax[key] = Math.max(flowsMax[key] ?? 0, n);
    open(lab, others, i / 5000, run);
  });
  const { counters } = lab.gateway;
  const drops = lab.gate.shared.drops.byName();
  const isThere = transfer.end === undefined;
  lab.run(400_000_000);
  lab.echo();
  lab.run(400_000_000);
  const left = lab.flows();
  const share = attacked / alone;
  return { share, isThere, others, usedMax, ringMax, flowsMax, left, counters, drops, ...lab.close() };
}

/** An honest guest opens one flow of each kind: which of them answer within two seconds, so that a lost segment may be sent again. */
function open(lab: Crowd, others: Others, round: number, run: (us: number) => void): void {
  const { sockets } = lab.guests[1]!;
  const stream = lab.connect(1);
  const udp = lab.udp(1);
  lab.sendTo(1, udp, 'where');
  const ping = lab.ping(1, SERVER, 100 + round);
  const heard = { tcp: false, udp: false, ping: false };
  for (let i = 0; i < 40 && !(heard.tcp && heard.udp && heard.ping); i++) {
    run(50_000);
    if (i === 0 || (i % 4 === 3 && !heard.tcp)) lab.send(1, stream, 'hello');
    lab.echo();
    if (String(lab.read(1, stream)).startsWith('hello')) heard.tcp = true;
    if (lab.read(1, udp) === 'where') heard.udp = true;
    if (typeof lab.read(1, ping) === 'string') heard.ping = true;
  }
  others.asked++;
  if (heard.tcp) others.tcp++;
  if (heard.udp) others.udp++;
  if (heard.ping) others.ping++;
  for (const h of [stream, udp, ping]) sockets.close(h);
}

interface Others {
  asked: number;
  tcp: number;
  udp: number;
  ping: number;
}

/** SYNs of one station under any address of the network, to a server that takes them. */
export const synFlood = (count: number): Report =>
  underAttack(
    {},
    (i, rng) => {
      const syn = tcpOf(1024 + rng.below(60_000), 80, rng.u32(), 2);
      return i % 2 === 0 ? from4(LIAR, guest4(100 + rng.below(150)), 6, syn) : from6(LIAR, guest6(rng.u32()), 6, syn);
    },
    count,
  );

/** SYNs to a place that never answers. */
export const halfOpen = (count: number): Report =>
  underAttack(
    {},
    (_, rng) => {
      const syn = tcpOf(1024 + rng.below(60_000), 8080, rng.u32(), 2);
      return from4(LIAR, guest4(100 + rng.below(150)), 6, syn);
    },
    count,
  );

/** SYNs of stations that are forged. With ports known they are one. */
export const forgedMacs = (count: number): Report =>
  underAttack(
    { portOf: (mac) => (mac > 0x02aa00000000 ? 9 : mac & 7) },
    (_, rng) => {
      const syn = tcpOf(1024 + rng.below(60_000), 80, rng.u32(), 2);
      return from4(`02aa${hex(rng.u32() | 1, 8)}`, guest4(100 + rng.below(150)), 6, syn);
    },
    count,
  );

/** Five stations that each take what they get: together more than there is for all. */
export const fullHouse = (count: number): Report =>
  underAttack(
    {},
    (i, rng) => {
      const n = i % 5;
      const syn = tcpOf(1024 + rng.below(60_000), 80, rng.u32(), 2);
      if (i % 2 === 0) return from4(`0200000000e${n}`, guest4(100 + n), 6, syn);
      return from4(`0200000000e${n}`, guest4(100 + n), 17, udpOf(1024 + rng.below(60_000), 53));
    },
    count,
  );

export const udpFlood = (count: number): Report =>
  underAttack(
    {},
    (i, rng) => {
      const datagram = udpOf(1024 + rng.below(60_000), 53);
      return i % 2 === 0
        ? from4(LIAR, guest4(100 + rng.below(150)), 17, datagram)
        : from6(LIAR, guest6(rng.u32()), 17, datagram);
    },
    count,
  );

export const echoFlood = (count: number): Report =>
  underAttack(
    {},
    (_, rng) => {
      const request = bytesOf(8, 0, '0000', hex(rng.below(65536), 4), hex(rng.below(65536), 4), zeros(32));
      return from4(LIAR, guest4(100 + rng.below(150)), 1, request);
    },
    count,
  );

/** First pieces of packets that never become whole. */
export const fragments = (count: number): Report =>
  underAttack(
    {},
    (i, rng) =>
      from4(LIAR, guest4(100 + rng.below(150)), 17, udpOf(9, 53, 1400), { word: `${hex(i & 0xffff, 4)}2000` }),
    count,
  );

/** Datagrams, SYNs and pings under the addresses of guests that the gateway knows. */
export const spoofs = (count: number): Report =>
  underAttack(
    {},
    (i, rng) => {
      const from = guest4(15 + rng.below(2));
      if (i % 3 === 0) return from4(LIAR, from, 6, tcpOf(1024 + rng.below(60_000), 80, rng.u32(), 2));
      if (i % 3 === 1) return from4(LIAR, from, 17, udpOf(1024 + rng.below(60_000), 53));
      return from4(LIAR, from, 1, bytesOf(8, 0, '0000', hex(rng.below(65536), 4), '0001', zeros(8)));
    },
    count,
  );

/** RFC 5927, RFC 5961: who knows addresses and ports, but not the numbers, sends errors and segments to end a connection. */
export const icmpErrors = (count: number): Report => {
  const types = [
    [3, 1],
    [3, 2],
    [3, 3],
    [3, 4],
    [11, 0],
    [12, 0],
    [4, 0],
  ] as const;
  return underAttack(
    {},
    (i, rng, { port }) => {
      if (i % 4 === 0) {
        const flags = [4, 0x14, 2, 0x11][rng.below(4)]!; // RST, RST ACK, SYN, FIN ACK
        const segment = bytesOf(
          hex(port, 4),
          '01bb',
          hex(rng.u32(), 8),
          hex(rng.u32(), 8),
          0x50,
          flags,
          'ffff00000000',
        );
        return from4(LIAR, guest4(15), 6, segment);
      }
      const quoted = ip4(6, SERVER_HEX, guest4(15), bytesOf('01bb', hex(port, 4), hex(rng.u32(), 8), zeros(12)));
      const [type, code] = types[i % types.length]!;
      const word = type === 3 && code === 4 ? '00000044' : '00000000';
      const to = i % 2 === 0 ? '0a000202' : SERVER_HEX;
      const error = bytesOf(type, code, '0000', word, quoted);
      return sealed(ethernet(GATE_MAC, LIAR, '0800', ip4(1, guest4(77), to, error)));
    },
    count,
  );
};

/** A guest opens `count` connections to servers that send without end, and reads nothing. */
export function slowReaders(count: number, ringBytesMax = 96 << 20): Report {
  const guestLimits = { ringBytesMax: 8 << 20 };
  const link = { ...LINK, queueFramesMax: 8192 };
  const lab = new Crowd({ guests: 3, link, guestLimits, gateLimits: { ringBytesMax }, bufferBytes: 1 << 18 });
  lab.serve();
  lab.run(5_000_000);
  const slow: number[] = [];
  for (let i = 0; i < count; i++) {
    slow.push(lab.connect(2));
    if (i % 50 === 49) lab.run(100_000);
  }
  lab.run(1_000_000);
  const peers = lab.host.peers.filter(({ where }) => where === `${SERVER}:80`);
  const transfer = new Transfer(lab, 0);
  const junk = new Uint8Array(65_536);
  let ringMax = 0;
  const others = { asked: 0, tcp: 0, udp: 0, ping: 0 };
  let bytesBefore = 0;
  for (let i = 0; i < SLOW_MS; i++) {
    if (i === SLOW_MS / 2) bytesBefore = transfer.bytes;
    if (i < SLOW_MS / 2 || i % 100 === 0) for (let k = 0; k < 20; k++) peers[(20 * i + k) % peers.length]!.write(junk);
    transfer.turn();
    lab.run(1000);
    ringMax = Math.max(ringMax, lab.gate.tcp.ringBytes);
    if (i % 2000 === 1999) open(lab, others, i, (us) => lab.run(us));
  }
  const bytes = transfer.bytes - bytesBefore;
  const { counters } = lab.gateway;
  const evicted = counters.evicted;
  for (const h of slow) lab.guests[2]!.sockets.abort(h);
  lab.run(300_000_000);
  const ringAfter = lab.gate.tcp.ringBytes;
  return {
    opened: peers.length,
    ringMax,
    bytes,
    evicted,
    others,
    ringAfter,
    isThere: transfer.end === undefined,
    ...lab.close(),
  };
}

/** Guests vanish with flows that servers send to: nothing of them is left an hour later. */
export function blackHole(count: number): Report {
  const lab = new Crowd({ guests: 3 });
  lab.serve();
  lab.run(5_000_000);
  for (let i = 0; i < count; i++) {
    lab.connect(2);
    lab.sendTo(2, lab.udp(2), 'where');
    if (i % 50 === 49) lab.run(100_000);
  }
  lab.run(1_000_000);
  const before = lab.flows();
  const link = lab.world.links.find(({ ends }) => ends.includes('s4'))!;
  lab.world.rule((hop) => (hop.link === link.number ? DROP : PASS));
  for (const peer of lab.host.peers) peer.write(new Uint8Array(20_000));
  let ringMax = 0;
  for (let i = 0; i < 60; i++) {
    lab.run(60_000_000);
    ringMax = Math.max(ringMax, lab.gate.tcp.ringBytes);
  }
  return { before, ringMax, left: lab.flows(), ...lab.close() };
}

/** A guest that resets what it opens, again and again. */
export function resets(count: number): Report {
  const lab = new Crowd({ guests: 2 });
  lab.serve();
  lab.run(5_000_000);
  const { sockets } = lab.guests[0]!;
  const slabBefore = lab.slab.usedBytes;
  for (let i = 0; i < count; i++) {
    const h = lab.connect(0, i % 2 ? SERVER : SERVER6);
    if (i % 3 !== 0) lab.run(1000);
    if (i % 3 === 2) lab.send(0, h, 'hello');
    if (i % 5 === 0) sockets.close(h);
    else sockets.abort(h);
    if (i % 20 === 19) lab.run(10_000);
  }
  lab.run(100_000_000);
  lab.echo();
  lab.run(200_000_000);
  const slabLeft = lab.slab.usedBytes - slabBefore;
  const { counters } = lab.gateway;
  return {
    opened: counters.tcpOpened,
    slabLeft,
    left: lab.flows(),
    connections: lab.gate.tcp.connections - 1,
    ...lab.close(),
  };
}

export const ATTACKS: Readonly<Record<string, (count: number) => Report>> = {
  crowd,
  synFlood,
  halfOpen,
  forgedMacs,
  fullHouse,
  udpFlood,
  echoFlood,
  fragments,
  spoofs,
  icmpErrors,
  slowReaders: (count) => slowReaders(count),
  fewBuffers: (count) => slowReaders(count, 24 << 20),
  blackHole,
  resets,
};
