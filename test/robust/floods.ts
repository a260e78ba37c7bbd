// Attacks on the bounds of a host. Each returns what it found; floods.test.ts says what it should be.

import { Errno, Family, parseAddress, SocketOption, SocketType } from '../../stack/stack.ts';
import { HOST, PEER } from './corpus.ts';
import { bytesOf, ethernet, ip4, ip6, sealed, zeros } from './packets.ts';
import { RawPeer, Victim } from './victim.ts';

type Report = Record<string, number | boolean>;

const hex = (n: number, digits = 8): string => (n >>> 0).toString(16).padStart(digits, '0').slice(-digits);
const udpFrame = (from: string, ports: string, body: Uint8Array): Uint8Array =>
  sealed(ethernet(HOST.mac, PEER.mac, '0800', ip4(17, from, HOST.ip4, bytesOf(ports, '00000000', body))));
const ndpFrame = (to: string, from: string, body: Uint8Array): Uint8Array =>
  sealed(
    ethernet(to.startsWith('ff') ? `3333${to.slice(24)}` : HOST.mac, PEER.mac, '86dd', ip6(58, from, to, body, 255)),
  );
const ALL_NODES = 'ff020000000000000000000000000001';

function synFrame(v: Victim): Uint8Array {
  const { rng } = v;
  const source = hex(0xc0000000 + rng.below(0x10000000));
  const segment = bytesOf(
    hex(rng.u32()).slice(0, 4),
    '0050',
    hex(rng.u32()),
    '00000000',
    0x60,
    2,
    'ffff00000000',
    '020405b4',
  );
  return sealed(ethernet(HOST.mac, PEER.mac, '0800', ip4(6, source, HOST.ip4, segment)));
}

/** SYNs of random sources, one a µs; connections from before and from during the flood. */
function synFlood(count: number): Report {
  const v = new Victim();
  const listener = v.listen(80);
  const before = v.meet(listener, 80)!;
  let during: [number, number] | undefined;
  let wasTransferred = true;
  for (let i = 0; i < count; i++) {
    v.hit(synFrame(v));
    v.nowUs++;
    if (i % 64 === 63) v.turn(1);
    if (i === count / 2) during = v.meet(listener, 80);
    if (i % (count / 4) === 0) wasTransferred = v.transfer(before, 20_000) && wasTransferred;
  }
  const after = v.meet(listener, 80);
  const { usedBytes } = v;
  const { connections } = v.stack.tcp;
  const works = [before, during, after].every((pair) => pair !== undefined && v.transfer(pair, 20_000));
  for (let i = 0; i < 400; i++) v.turn(1_000_000);
  return {
    wasTransferred,
    works,
    connections,
    usedBytes,
    answers: v.lostFrames,
    connectionsLater: v.stack.tcp.connections,
  };
}

/** As many half-open connections as there are ports; then nobody answers for long enough. */
function halfOpen(): Report {
  const v = new Victim({ limits: { halfOpenMax: 65_535, connectionsMax: 70_000 } });
  const listener = v.listen(80);
  for (let i = 0; i < 70_000; i++) {
    v.hit(synFrame(v));
    if (i % 64 === 63) v.turn(10);
  }
  const { connections } = v.stack.tcp;
  const met = v.meet(listener, 80);
  const works = met !== undefined && v.transfer(met, 20_000);
  const { usedBytes } = v;
  for (let i = 0; i < 1500; i++) v.turn(200_000);
  return { works, connections, usedBytes, connectionsLater: v.stack.tcp.connections };
}

/** First pieces of packets that never become whole, of both families; and a packet in pieces that does. */
function fragments(count: number): Report {
  const v = new Victim();
  const echo = (): boolean => {
    let answers = 0;
    v.onFrame = (_, length) => {
      if (length > 1000) answers++;
    };
    const body = bytesOf('0800000000010001', zeros(1400));
    const sum = 0xffff - (0x0800 + 1 + 1);
    body[2] = sum >> 8;
    body[3] = sum & 255;
    for (const [word, from, to] of [
      ['77772000', 0, 800],
      ['77770064', 800, 1408],
    ] as const)
      v.hit(sealed(ethernet(HOST.mac, PEER.mac, '0800', ip4(1, PEER.ip4, HOST.ip4, body.slice(from, to), { word }))));
    v.turn(1000);
    v.onFrame = undefined;
    return answers > 0;
  };
  let most = 0;
  let answered = 0;
  for (let i = 0; i < count; i++) {
    const id = hex(v.rng.u32());
    const source = hex(0xc0000000 + v.rng.below(0x10000000));
    if ((i & 1) === 0)
      v.hit(
        sealed(
          ethernet(
            HOST.mac,
            PEER.mac,
            '0800',
            ip4(17, source, HOST.ip4, zeros(1024), { word: `${id.slice(0, 4)}2${hex(v.rng.below(4000), 3)}` }),
          ),
        ),
      );
    else
      v.hit(
        sealed(
          ethernet(
            HOST.mac,
            PEER.mac,
            '86dd',
            ip6(
              44,
              `20010db8${source}0000000000000001`,
              HOST.ip6,
              bytesOf('1100', hex((v.rng.below(7000) << 3) | 1, 4), id, zeros(1024)),
            ),
          ),
        ),
      );
    v.nowUs += 10;
    if (i % 1000 === 999) {
      v.turn(1);
      most = Math.max(most, v.usedBytes);
      if (echo()) answered++;
    }
  }
  for (let i = 0; i < 100; i++) v.turn(1_000_000);
  return { most, answered, usedLater: v.usedBytes };
}

/** A scan of a /64 through a router, a host that asks everywhere, and spoofed NS, NA and ARP. */
function neighbors(count: number): Report {
  const v = new Victim({ forwards6: true });
  const listener = v.listen(80);
  const met = v.meet(listener, 80)!;
  const udp = v.stack.sockets.socket(Family.Inet6, SocketType.Datagram);
  let most = 0;
  let mostHeld = 0;
  let isGood = true;
  const target = parseAddress('fd00::')!;
  for (let i = 0; i < count; i++) {
    const random = hex(v.rng.u32()) + hex(v.rng.u32());
    const mac = `0200${random.slice(0, 8)}`;
    switch (i % 5) {
      case 0:
        v.hit(
          sealed(
            ethernet(
              HOST.mac,
              PEER.mac,
              '86dd',
              ip6(17, '20010db8000000000000000000000001', `fd00000000000000${random}`, zeros(1000)),
            ),
          ),
        );
        break;
      case 1:
        target[2] = v.rng.u32() | 0;
        target[3] = v.rng.u32() | 0;
        v.stack.sockets.sendTo(udp, zeros(500), 0, 500, target, 9);
        break;
      case 2:
        v.hit(ndpFrame(HOST.ip6, `fd00000000000000${random}`, bytesOf(`8700000000000000${HOST.ip6}0101${mac}`)));
        break;
      case 3:
        v.hit(
          ndpFrame(
            HOST.ip6,
            `fd00000000000000${random}`,
            bytesOf(`8800000060000000fd00000000000000${random}0201${mac}`),
          ),
        );
        break;
      default:
        v.hit(
          ethernet(
            'ffffffffffff',
            PEER.mac,
            '0806',
            bytesOf('0001080006040001', mac, '0a0000', hex(3 + v.rng.below(250), 2), '000000000000', HOST.ip4),
          ),
        );
    }
    v.nowUs += 20;
    if (i % 64 === 63) v.turn(1);
    most = Math.max(most, v.stack.autoconf.neighbors.count);
    mostHeld = Math.max(mostHeld, v.stack.autoconf.neighbors.heldBytes);
    if (i % 10_000 === 0) isGood = v.transfer(met, 20_000) && isGood;
  }
  isGood = v.transfer(met, 20_000, 20_000) && isGood;
  for (let i = 0; i < 100; i++) v.turn(1_000_000);
  return { isGood, most, mostHeld, heldLater: v.stack.autoconf.neighbors.heldBytes };
}

/** Advertisements with prefixes, routers, routes, servers and domains without end. */
function advertisements(count: number): Report {
  const v = new Victim();
  v.stack.configuration.apply('rd,slaac,temp', 2);
  const listener = v.listen(80);
  const met = v.meet(listener, 80)!;
  let isGood = true;
  for (let i = 0; i < count; i++) {
    const random = hex(v.rng.u32()) + hex(v.rng.u32());
    const options =
      `0101${`0200${random.slice(0, 8)}`}` +
      `030440c000278d0000093a8000000000` +
      `fd01${random.slice(0, 12)}0000000000000000` +
      `1903000000000e10fd01${random}000000000001` +
      `1f0300000000003c03${random.slice(0, 6)}`.replace(/.{6}$/, '616263') +
      `03636f6d0000000000000000` +
      `180240080000003cfd02${random.slice(0, 12)}`;
    v.hit(ndpFrame(ALL_NODES, `fe80000000000000${random}`, bytesOf(`8600000040000708${'0'.repeat(16)}`, options)));
    v.nowUs += 100;
    if (i % 64 === 63) v.turn(1);
    if (i % 10_000 === 0) isGood = v.transfer(met, 20_000) && isGood;
  }
  for (let i = 0; i < 20; i++) v.turn(1_000_000);
  isGood = v.transfer(met, 20_000) && isGood;
  const { addresses, autoconf, routes } = v.stack;
  return {
    isGood,
    addresses: addresses.ids().length,
    routes: routes.list().length,
    servers: autoconf.dns.listServers().length,
    usedBytes: v.usedBytes,
  };
}

/** Queries of all versions, a hundred thousand in ten seconds. */
function queries(count: number): Report {
  const v = new Victim();
  for (let g = 0; g < 100; g++) v.stack.autoconf.multicast.join(2, parseAddress(`ff05::${g.toString(16)}`)!);
  for (let g = 0; g < 100; g++) v.stack.autoconf.multicast.join(2, parseAddress(`239.0.0.${g}`)!);
  v.turn(10_000_000);
  v.lostFrames = 0;
  let reports = 0;
  v.onFrame = () => {
    reports++;
  };
  for (let i = 0; i < count; i++) {
    const group = v.rng.chance(0.5) ? '00'.repeat(16) : `ff05${'0'.repeat(24)}${hex(v.rng.below(120), 4)}`;
    const group4 = v.rng.chance(0.5) ? '00000000' : `ef0000${hex(v.rng.below(120), 2)}`;
    const sources = v.rng.chance(0.3) ? `0001fd00${hex(v.rng.u32())}0000000000000000${'0000'}` : '0000';
    if ((i & 1) === 0)
      v.hit(
        sealed(
          ethernet(
            '333300000001',
            PEER.mac,
            '86dd',
            ip6(
              0,
              'fe800000000000000000000000000002',
              ALL_NODES,
              bytesOf('3a00050200000100', `82000000${hex(v.rng.below(100), 4)}0000`, group, '0202', sources),
              1,
            ),
          ),
        ),
      );
    else
      v.hit(
        sealed(
          ethernet(
            '01005e000001',
            PEER.mac,
            '0800',
            ip4(
              2,
              PEER.ip4,
              'e0000001',
              bytesOf('11', v.rng.below(100), '0000', group4, v.rng.chance(0.5) ? '02020000' : ''),
              { options: '94040000', ttl: 1 },
            ),
          ),
        ),
      );
    v.nowUs += 100;
    if (i % 64 === 63) v.turn(1);
  }
  for (let i = 0; i < 30; i++) v.turn(1_000_000);
  return { reports, usedBytes: v.usedBytes };
}

/** Datagrams for a socket that nobody reads, and for ports that nobody has. */
function datagrams(count: number): Report {
  const v = new Victim();
  const { sockets } = v.stack;
  const udp = sockets.socket(Family.Inet, SocketType.Datagram);
  sockets.bind(udp, parseAddress('0.0.0.0')!, 7);
  let errors = 0;
  v.onFrame = () => {
    errors++;
  };
  for (let i = 0; i < count; i++) {
    v.hit(
      udpFrame(
        hex(0xc0000000 + v.rng.below(1 << 24)),
        `1234${(i & 1) === 0 ? '0007' : '0008'}`,
        zeros(v.rng.below(1400)),
      ),
    );
    v.nowUs += 10;
    if (i % 64 === 63) v.turn(1);
  }
  const { usedBytes } = v;
  const into = new Uint8Array(2000);
  let waiting = 0;
  while (sockets.receive(udp, into, 0, into.length) >= 0) waiting++;
  v.hit(udpFrame('0a000002', '12340007', zeros(10)));
  return { errors, usedBytes, waiting, isOpenAgain: sockets.available(udp) === 10 };
}

/** Errors about a connection whose numbers are guessed, and about it itself: lower and lower MTUs. */
function icmpErrors(count: number): Report {
  const v = new Victim();
  const listener = v.listen(80);
  const met = v.meet(listener, 80)!;
  const { stack } = v;
  for (let i = 0; i < count; i++) {
    const ports = `0050${hex(v.rng.u32(), 4)}`;
    const quoted = ip4(6, HOST.ip4, PEER.ip4, bytesOf(ports, hex(v.rng.u32())));
    const kind = ['0300', '0301', '0302', '0303', '0304', '0b00', '0c00'][v.rng.below(7)]!;
    const word = kind === '0304' ? hex(v.rng.below(2000)) : '00000000';
    v.hit(
      sealed(
        ethernet(HOST.mac, PEER.mac, '0800', ip4(1, hex(v.rng.u32()), HOST.ip4, bytesOf(kind, '0000', word, quoted))),
      ),
    );
    v.nowUs += 10;
    if (i % 64 === 63) v.turn(1);
  }
  const isGood = v.transfer(met, 200_000);
  const sent = stack.sockets.send(met[1], zeros(50_000), 0, 50_000);
  const into = zeros(50_000);
  let got = 0;
  const isThere = v.until(
    () => {
      got += Math.max(0, v.friend.sockets.receive(met[0], into, 0, into.length));
      return got >= sent;
    },
    1000,
    5000,
  );
  return { isGood, isThere, usedBytes: v.usedBytes };
}

/** More connections than a listener keeps; then they are accepted one after another. */
function backlog(): Report {
  const v = new Victim();
  const listener = v.listen(80, 4);
  const { friend, stack } = v;
  v.transfer(v.meet(v.listen(81), 81)!, 1); // they know each other
  const clients = Array.from({ length: 50 }, () => {
    const h = friend.sockets.socket(Family.Inet, SocketType.Stream);
    friend.sockets.connect(h, parseAddress('10.0.0.1')!, 80);
    return h;
  });
  for (let i = 0; i < 100; i++) v.turn(10_000);
  const waiting = clients.filter((h) => (friend.sockets.poll(h) & 2) !== 0).length;
  let accepted = 0;
  v.until(
    () => {
      while (stack.sockets.accept(listener) >= 0) accepted++;
      return accepted === 50;
    },
    100_000,
    3000,
  );
  return { waiting, accepted };
}

/** Connects and binds until no port is left, and once more after one was given back. */
function ports(): Report {
  const v = new Victim({ limits: { socketsMax: 100_000 } });
  const { sockets } = v.stack;
  const connect = (): [number, number] => {
    const h = sockets.socket(Family.Inet, SocketType.Stream);
    return [h, sockets.connect(h, parseAddress('10.0.0.2')!, 9)];
  };
  let connects = 0;
  let first = -1;
  let refused = 0;
  while (connects < 20_000 && refused === 0) {
    const [h, result] = connect();
    if (result === -Errno.EINPROGRESS) connects++;
    else {
      refused = result;
      sockets.close(h);
    }
    if (first < 0) first = h;
  }
  sockets.close(first);
  const again = connect()[1];
  let binds = 0;
  let full = 0;
  let last = -1;
  while (binds < 40_000 && full === 0) {
    const h = sockets.socket(Family.Inet, SocketType.Datagram);
    const result = sockets.bind(h, parseAddress('0.0.0.0')!, 0);
    if (result === 0) {
      binds++;
      last = h;
    } else {
      full = result;
      sockets.close(h);
    }
  }
  sockets.close(last);
  const h = sockets.socket(Family.Inet, SocketType.Datagram);
  return { connects, refused, again, binds, full, bindAgain: sockets.bind(h, parseAddress('0.0.0.0')!, 0) };
}

/** Bytes one by one, every other first; then all of them in order. */
function gaps(): Report {
  const v = new Victim();
  const peer = new RawPeer(v);
  const listener = v.listen(80);
  const server = peer.connect(listener);
  const { sockets } = v.stack;
  const data = new Uint8Array(60_000).map((_, i) => i * 11);
  const order = Array.from({ length: 30_000 }, (_, i) => 2 * i + 1);
  for (let i = order.length - 1; i > 0; i--) {
    const k = v.rng.below(i + 1);
    [order[i], order[k]] = [order[k]!, order[i]!];
  }
  order.forEach((at, i) => {
    peer.say(0x10, { seq: (peer.seq + at) | 0, data: data.subarray(at, at + 1) });
    if (i % 64 === 63) v.turn(10);
  });
  const { usedBytes } = v;
  const into = new Uint8Array(data.length);
  let got = 0;
  for (let at = 0; at < data.length; at += 1000) {
    peer.say(0x18, { seq: (peer.seq + at) | 0, data: data.subarray(at, at + 1000) });
    v.turn(1000);
    got += Math.max(0, sockets.receive(server, into, got, into.length - got));
  }
  return { usedBytes, isGood: got === data.length && Buffer.compare(into, data) === 0 };
}

/** SACK blocks that mean nothing, and some that do, about what the host sends; then honest acknowledgments. */
function sacks(): Report {
  const v = new Victim();
  const peer = new RawPeer(v);
  const server = peer.connect(v.listen(80));
  const { sockets } = v.stack;
  const start = peer.ack;
  let sent = 0;
  for (let i = 0; i < 50_000; i++) {
    if (i < 300) sent += Math.max(0, sockets.send(server, zeros(4000), 0, 4000));
    const block = (): string => {
      const left = (start + v.rng.below(100_000) - (v.rng.chance(0.1) ? 200_000 : 0)) | 0;
      return hex(left) + hex(v.rng.chance(0.1) ? v.rng.u32() : left + v.rng.below(20_000) - 1000);
    };
    const count = 1 + v.rng.below(4);
    peer.say(0x10, {
      ack: start,
      options: `0101${['050a', '0512', '051a', '0522'][count - 1]}${Array.from({ length: count }, block).join('')}`,
    });
    v.nowUs += 10;
    if (i % 16 === 15) v.turn(10);
  }
  const { usedBytes } = v;
  const connections = v.stack.tcp.connections;
  const isGood = v.until(
    () => {
      peer.say(0x10);
      return ((peer.ack - start) | 0) === sent;
    },
    50_000,
    5000,
  );
  peer.say(0x10);
  v.turn(1000);
  return { isGood, connections, usedBytes, sent, resetBy: sockets.getOption(server, SocketOption.Error) };
}

/** Peers that open their window by one byte, or never. */
function windows(): Report {
  const v = new Victim();
  const peer = new RawPeer(v);
  peer.window = 1;
  const server = peer.connect(v.listen(80));
  const { sockets } = v.stack;
  sockets.send(server, zeros(100_000), 0, 100_000);
  const { segments } = peer;
  for (let i = 0; i < 1000; i++) {
    peer.say(0x10);
    v.turn(1000);
  }
  const segmentsOfTiny = peer.segments - segments;
  peer.window = 0;
  peer.say(0x10);
  const before = peer.segments;
  for (let i = 0; i < 600; i++) {
    v.turn(1_000_000);
    if (i % 50 === 0) peer.say(0x10);
  }
  const probes = peer.segments - before;
  peer.window = 65535;
  const isGood = v.until(
    () => {
      peer.say(0x10);
      return peer.received >= 100_000;
    },
    1000,
    5000,
  );
  return { segmentsOfTiny, probes, isGood };
}

/** No more connections than ten. */
function tableFull(): Report {
  const v = new Victim({ limits: { connectionsMax: 10 } });
  const { sockets } = v.stack;
  const listener = v.listen(80);
  const met = v.meet(listener, 80)!;
  const own: number[] = [];
  let refused = 0;
  while (refused === 0 && own.length < 20) {
    const h = sockets.socket(Family.Inet, SocketType.Stream);
    if (h < 0) refused = h;
    else own.push(h);
  }
  const tooMany = v.meet(listener, 80) !== undefined;
  const isGood = v.transfer(met, 10_000);
  for (const h of own) sockets.close(h);
  const again = v.meet(listener, 80);
  return { opened: own.length, refused, tooMany, isGood, again: again !== undefined && v.transfer(again, 10_000) };
}

/** All memory is taken by somebody else for a while. */
function noMemory(): Report {
  const v = new Victim({ slabBytes: 1 << 23 });
  const { sockets } = v.stack;
  const listener = v.listen(80);
  const met = v.meet(listener, 80)!;
  const begun = v.transfer(met, 10_000);
  const taken: [number, number][] = [];
  for (let size = 1 << 22; size >= 64; size >>= 1) {
    for (let at = v.slab.alloc(size); at !== 0; at = v.slab.alloc(size)) taken.push([at, size]);
  }
  const udp = sockets.socket(Family.Inet, SocketType.Datagram);
  const results = new Set<number>();
  const target = parseAddress('10.0.0.2')!;
  for (let i = 0; i < 2000; i++) {
    results.add(Math.min(0, sockets.send(met[1], zeros(3000), 0, 3000)));
    results.add(Math.min(0, sockets.sendTo(udp, zeros(3000), 0, i % 3000, target, 9)));
    v.friend.sockets.send(met[0], zeros(1), 0, 0);
    const bytes = zeros(1000 + v.rng.below(400));
    v.hit(udpFrame(PEER.ip4, '12340050', bytes));
    v.hit(
      sealed(
        ethernet(HOST.mac, PEER.mac, '0800', ip4(17, PEER.ip4, HOST.ip4, zeros(800), { word: `${hex(i, 4)}2000` })),
      ),
    );
    v.hit(synFrame(v));
    v.turn(1000);
  }
  const lost = v.transfer(met, 200_000, 500);
  for (const [at, size] of taken) v.slab.release(at, size);
  v.stack.sockets.close(udp);
  const before = v.meet(listener, 80);
  return {
    begun,
    lost,
    errnosAreKnown: [...results].every((r) => [0, -Errno.EAGAIN, -Errno.ENOBUFS, -Errno.EMSGSIZE].includes(r)),
    again: before !== undefined && v.transfer(before, 100_000, 20_000),
  };
}

/** All attacks by name; some are of as many frames as they are told. */
export const FLOODS: Record<string, (count: number) => Report> = {
  synFlood,
  halfOpen,
  fragments,
  neighbors,
  advertisements,
  queries,
  datagrams,
  icmpErrors,
  backlog,
  ports,
  gaps,
  sacks,
  windows,
  tableFull,
  noMemory,
};
