// Two hosts and a router between them, three whole stacks on the simulator's links: RFC 8200, RFC 8201, RFC 1191 end to end.

import { describe, expect, test } from 'vitest';
import { World } from '../../sim/sim.ts';
import {
  Family,
  formatAddress,
  MessageFlag,
  parseAddress,
  SocketOption,
  SocketType,
  Stack,
  StackPort,
} from '../../stack/stack.ts';
import { addAddress, type Host, newHost, secretOf } from '../kit/stack-kit.ts';

const CLOSED = 33434;
const OPEN = 7000;

/** host a (MTU 1500) — router — (MTU of the second link) host b. */
class Path {
  readonly world = new World({ seed: 5, slabBytes: 64 << 20 });
  readonly a: Host;
  readonly b: Host;
  readonly router: Stack;

  constructor(mtuBytes: number) {
    const { slab } = this.world;
    this.a = newHost(slab, 1, { addresses: ['10.0.1.2/24', 'fd00:1::2/64'], gateway: 'fd00:1::1' });
    this.b = newHost(slab, 2, { addresses: ['10.0.2.2/24', 'fd00:2::2/64'], gateway: 'fd00:2::1' });
    this.router = new Stack({ slab, secret: secretOf(5, 3), nowUs: 0 });
    const ports = [1, 2].map((n) => {
      const mac = Uint8Array.of(2, 0, 0, 0, 1, n);
      const rest = { mac, mtuBytes: n === 2 ? mtuBytes : 1500, dadTransmits: 0, forwards4: true, forwards6: true };
      const iface = this.router.addInterface({ name: `eth${n}`, ...rest });
      addAddress(this.router, iface.number, `10.0.${n}.1/24`);
      addAddress(this.router, iface.number, `fd00:${n}::1/64`);
      return new StackPort(this.router, iface);
    });
    for (const [host, gateway] of [
      [this.a, '10.0.1.1'],
      [this.b, '10.0.2.1'],
    ] as const) {
      const any = parseAddress('0.0.0.0')!;
      host.stack.routes.add({ prefix: any, bits: 0, gateway: parseAddress(gateway)!, iface: 2 });
    }
    const middle = this.world.node('router', ports);
    this.world.link(this.world.node('a', [this.a.port]), { node: middle, port: 0 }, { delayUs: 1000 });
    this.world.link({ node: middle, port: 1 }, this.world.node('b', [this.b.port]), { delayUs: 1000 });
  }

  run(us: number): void {
    this.world.run({ untilUs: this.world.nowUs + us });
  }
}

const families = [
  ['IPv6', Family.Inet6, 'fd00:2::2', 'fd00:1::1', '::'],
  ['IPv4', Family.Inet, '10.0.2.2', '10.0.1.1', '0.0.0.0'],
] as const;

describe.each(families)('%s', (_name, family, target, routerAddress, any) => {
  const isIp6 = family === Family.Inet6;

  function socket(stack: Stack, port: number): number {
    const fd = stack.sockets.socket(family, SocketType.Datagram);
    expect(stack.sockets.bind(fd, parseAddress(any)!, port)).toBe(0);
    return fd;
  }

  test('traceroute: the router at hop 1, the host with its closed port at hop 2', () => {
    const path = new Path(1500);
    const { sockets } = path.a.stack;
    const fd = socket(path.a.stack, 4000);
    sockets.setOption(fd, isIp6 ? SocketOption.ReceiveErrors6 : SocketOption.ReceiveErrors, 1);
    const seen: string[] = [];
    for (let hops = 1; hops <= 2; hops++) {
      sockets.setOption(fd, isIp6 ? SocketOption.UnicastHops : SocketOption.Ttl, hops);
      expect(sockets.sendTo(fd, new Uint8Array(32), 0, 32, parseAddress(target)!, CLOSED + hops)).toBe(32);
      path.run(5_000_000);
      expect(sockets.receiveFrom(fd, new Uint8Array(64), 0, 64, MessageFlag.ErrorQueue)).toBe(32);
      const { message } = sockets;
      seen.push(`${formatAddress(message.source)} type=${message.hops} code=${message.code}`);
      sockets.getOption(fd, SocketOption.Error);
    }
    const types = isIp6 ? ['type=3 code=0', 'type=1 code=4'] : ['type=11 code=0', 'type=3 code=3'];
    expect(seen).toEqual([`${routerAddress} ${types[0]}`, `${target} ${types[1]}`]);
  });

  test('a datagram too long for the second link arrives once the path’s MTU is known', () => {
    const path = new Path(1300);
    const server = socket(path.b.stack, OPEN);
    const client = socket(path.a.stack, 4000);
    const data = Uint8Array.from({ length: 1450 }, (_, i) => i);
    const got = new Uint8Array(2000);
    let count = 0;
    for (let tries = 0; tries < 3; tries++) {
      path.a.stack.sockets.sendTo(client, data, 0, data.length, parseAddress(target)!, OPEN);
      path.run(3_000_000);
      count += path.b.stack.sockets.receive(server, got, 0, got.length) === data.length ? 1 : 0;
    }
    expect(count).toBe(2); // the first one taught the MTU
    expect(got.subarray(0, data.length)).toEqual(data);
  });

  test('a stream goes through, its segments cut to the path’s MTU', () => {
    const path = new Path(1300);
    const { a, b } = path;
    const listener = b.stack.sockets.socket(family, SocketType.Stream);
    b.stack.sockets.bind(listener, parseAddress(any)!, OPEN);
    b.stack.sockets.listen(listener, 1);
    const client = a.stack.sockets.socket(family, SocketType.Stream);
    a.stack.sockets.connect(client, parseAddress(target)!, OPEN);
    path.run(1_000_000);
    const server = b.stack.sockets.accept(listener);
    expect(server).toBeGreaterThanOrEqual(0);
    const data = Uint8Array.from({ length: 100_000 }, (_, i) => i * 7);
    const got = new Uint8Array(data.length);
    let sent = 0;
    let read = 0;
    for (let turn = 0; turn < 300 && read < data.length; turn++) {
      const n = a.stack.sockets.send(client, data, sent, data.length - sent);
      if (n > 0) sent += n;
      path.run(20_000);
      const m = b.stack.sockets.receive(server, got, read, got.length - read);
      if (m > 0) read += m;
    }
    expect(read).toBe(data.length);
    expect(got).toEqual(data);
  });
});
