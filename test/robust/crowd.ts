// Many stacks, or many connections, in one process: what they cost. Run with --expose-gc.

import { Burst, PLAIN } from '../../core/burst.ts';
import { Slab } from '../../core/slab.ts';
import { NEVER } from '../../core/time.ts';
import { star, World } from '../../sim/sim.ts';
import { Family, parseAddress, SocketType, type Stack } from '../../stack/stack.ts';
import { type Host, newHost } from '../kit/stack-kit.ts';

type Report = Record<string, number | boolean>;

const collect = (globalThis as { gc?: () => void }).gc ?? (() => {});

/** Bytes of the heap and of buffers, not counting the slab, after collection. */
function heapBytes(): number {
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function settle(world: World, isDone: () => boolean, steps: number): Promise<boolean> {
  for (let i = 0; i < steps && !isDone(); i++) {
    world.step();
    for (let k = 0; k < 4; k++) await Promise.resolve();
  }
  return isDone();
}

/** `count` stacks on one switch; the first pings each of the others and asks it something over TCP. */
export async function stacks(count: number): Promise<Report> {
  const world = new World({ seed: 1, slabBytes: 2 ** 31, nodesMax: count + 2 });
  const hosts: Host[] = [];
  const heapBefore = heapBytes();
  const make = (): Host['port'][] => {
    const host = newHost(world.slab, hosts.length + 1, {
      addresses: [`10.0.${(hosts.length + 1) >> 8}.${(hosts.length + 1) & 255}/16`],
    });
    hosts.push(host);
    return [host.port];
  };
  const { stations } = star(world, make, { stations: count });
  hosts.forEach(({ stack }, i) => {
    stack.onWake(() => world.touch(stations[i]!));
  });
  const slabBefore = world.slab.usedBytes;
  const rssBefore = process.memoryUsage().rss;
  let answered = 0;
  let asked = 0;
  const first = hosts[0]!.stack;
  for (const { stack } of hosts) void serve(stack);
  const visit = async (): Promise<void> => {
    for (let i = 1; i < count; i++) {
      const host = `10.0.${(i + 1) >> 8}.${(i + 1) & 255}`;
      await first.streams.ping(host);
      answered++;
      const stream = await first.streams.connect({ host, port: 80 });
      await stream.write(new TextEncoder().encode('GET / HTTP/1.0\r\n\r\n'));
      await stream.end();
      let bytes = 0;
      for await (const piece of stream) bytes += piece.length;
      if (bytes === 1000) asked++;
    }
  };
  let isOver = false;
  void visit().finally(() => {
    isOver = true;
  });
  await settle(world, () => isOver, 4_000_000);
  const heapEach = (heapBytes() - heapBefore) / count;
  const slabEach = (world.slab.usedBytes - slabBefore) / count;
  const rssEach = (process.memoryUsage().rss - rssBefore) / count;
  for (const { port, stack } of hosts) {
    port.close();
    stack.close();
  }
  const slabLeft = world.slab.usedBytes - slabBefore;
  return { answered, asked, heapEach, slabEach, rssEach, slabLeft };
}

/** A server of 1,000 bytes. */
async function serve(stack: Stack): Promise<void> {
  const listener = stack.streams.listen({ port: 80 });
  try {
    for await (const stream of listener) {
      for await (const _ of stream) {
        // the request
      }
      await stream.write(new Uint8Array(1000));
      await stream.end();
    }
  } catch {
    // The stack was closed.
  }
}

/** Opens, uses and closes a stack so many times. */
export async function reopen(count: number): Promise<Report> {
  const slab = new Slab({ bytesMax: 1 << 26 });
  const at = slab.alloc(2048);
  const used = slab.usedBytes;
  let heapEarly = 0;
  for (let i = 0; i < count; i++) {
    if (i === count >> 2) heapEarly = heapBytes();
    await useOnce(slab, at, i);
  }
  return { slabLeft: slab.usedBytes - used, heapGrowth: heapBytes() - heapEarly };
}

async function useOnce(slab: Slab, at: number, i: number): Promise<void> {
  const { stack, port } = newHost(slab, 1, { seed: i });
  const { sockets, streams } = stack;
  const burst = new Burst(64);
  streams.listen({ port: 80 });
  const gone = streams.connect({ host: '10.0.0.9', port: 80 }).catch(() => 1);
  const udp = streams.udp({ port: 7 });
  const waiting = udp.receive().catch(() => 1);
  const client = sockets.socket(Family.Inet, SocketType.Stream);
  sockets.connect(client, parseAddress('10.0.0.1')!, 80);
  const loop = sockets.socket(Family.Inet, SocketType.Datagram);
  for (let k = 0; k < 4; k++) {
    sockets.sendTo(loop, new Uint8Array(3000), 0, 3000, parseAddress('10.0.0.1')!, 7);
    sockets.send(client, new Uint8Array(3000), 0, 3000);
    // A piece of a packet, which stays one.
    slab.bytes.fill(0, at, at + 600);
    const frame = [
      2,
      0,
      0,
      0,
      0,
      1,
      2,
      0,
      0,
      0,
      0,
      9,
      8,
      0,
      0x45,
      0,
      2,
      0x48 - 0x34,
      0,
      k,
      0x20,
      0,
      64,
      17,
      0,
      0,
      10,
      0,
      0,
      9,
      10,
      0,
      0,
      1,
    ];
    slab.bytes.set(frame, at);
    port.queue(at, 14 + 0x214, PLAIN);
    port.flush(1000 * k);
    burst.count = 0;
    port.receive(burst, 1000 * k);
    await Promise.resolve();
  }
  port.close();
  stack.close();
  await gone;
  await waiting;
}

/** So many idle connections from one stack to another; what those of the second cost, and what it has to do for them. */
export async function idle(count: number): Promise<Report> {
  const world = new World({ seed: 1, slabBytes: 2 ** 30 });
  const hosts: Host[] = [];
  const make = (): Host['port'][] => {
    const limits = { outputFramesMax: 1024 };
    const addresses = [`10.0.0.${hosts.length + 1}/24`];
    hosts.push(newHost(world.slab, hosts.length + 1, { limits, addresses }));
    return [hosts.at(-1)!.port];
  };
  const { stations } = star(world, make, { stations: 2 });
  const [a, b] = hosts.map(({ stack }) => stack) as [Stack, Stack];
  const listener = b.sockets.socket(Family.Inet, SocketType.Stream);
  b.sockets.bind(listener, parseAddress('0.0.0.0')!, 80);
  b.sockets.listen(listener, 1000);
  const heapBefore = heapBytes();
  const slabBefore = world.slab.usedBytes;
  const into = new Uint8Array(100);
  const accepted: number[] = [];
  const clients: number[] = [];
  while (accepted.length < count) {
    for (let i = 0; i < 50; i++) {
      const h = a.sockets.socket(Family.Inet, SocketType.Stream);
      a.sockets.connect(h, parseAddress('10.0.0.2')!, 80);
      clients.push(h);
    }
    world.touch(stations[0]!);
    for (let i = 0; i < 2000 && accepted.length < clients.length; i++) {
      world.step();
      for (let h = b.sockets.accept(listener); h >= 0; h = b.sockets.accept(listener)) accepted.push(h);
    }
  }
  for (const h of clients) a.sockets.send(h, into, 0, into.length);
  world.touch(stations[0]!);
  world.run({ untilUs: world.nowUs + 1_000_000 });
  let received = 0;
  for (const h of accepted) received += Math.max(0, b.sockets.receive(h, into, 0, into.length));
  world.touch(stations[1]!);
  world.run({ untilUs: world.nowUs + 600_000_000 });
  // Both ends are here.
  const heapEach = (heapBytes() - heapBefore) / 2 / count;
  const slabEach = (world.slab.usedBytes - slabBefore) / 2 / count;
  const isQuiet = a.tcp.deadlineUs() === NEVER && b.tcp.deadlineUs() === NEVER;
  return {
    connections: b.tcp.connections,
    received,
    heapEach,
    slabEach,
    isQuiet,
    isQuietAll: b.deadlineUs() === NEVER,
  };
}

const [what = 'stacks', count = '200'] = process.argv.slice(2);
const run = { stacks, reopen, idle }[what]!;
run(Number(count)).then((report) => console.log(JSON.stringify(report)));
