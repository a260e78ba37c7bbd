// Datagram flows over the kernel's own sockets: on loopback, and in namespaces behind a router of the test's own.

import * as dgram from 'node:dgram';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Fabric } from '../../engine/fabric.io.ts';
import { EchoFlows } from '../../slirp/echo-flows.ts';
import { type DescriptorWatcher, NativeSockets } from '../../slirp/host-sockets.io.ts';
import { NodeSockets } from '../../slirp/node-sockets.io.ts';
import type { FlowParts } from '../../slirp/slirp.ts';
import { UdpFlows } from '../../slirp/udp-flows.ts';
import { SocketOption } from '../../stack/stack.ts';
import { addressOf, whyNoNative } from '../../sys/libc.io.ts';
import { A, A6, B, GATEWAY, GATEWAY6, GatewayRig, type GotError, payload, text, words } from '../kit/gateway-rig.ts';
import { needsNative } from '../kit/raw.ts';
import { skipIf } from '../kit/skip.ts';
import { until } from '../kit/test-host.ts';
import { behindRouter, inNamespace, whyNoNamespace } from './namespace.io.ts';

const SLAB_BYTES = 1 << 27;
const FAR = '192.0.2.7';
const FAR6 = '2001:db8::7';

class Flows {
  readonly udp: UdpFlows;
  readonly echo: EchoFlows;

  constructor(parts: FlowParts) {
    this.udp = new UdpFlows(parts);
    this.echo = new EchoFlows(parts);
  }

  deadlineUs(): number {
    return Math.min(this.udp.deadlineUs(), this.echo.deadlineUs());
  }

  expire(): void {
    this.udp.expire();
    this.echo.expire();
  }

  close(): void {
    this.udp.close();
    this.echo.close();
  }
}

type Rig = GatewayRig<Flows>;
const closers: (() => void)[] = [];

/** System calls reach a slab only if all of it has one high word of addresses. */
function isReachable(rig: Rig): boolean {
  const address = addressOf(rig.gate.shared.slab);
  return Math.floor(address / 2 ** 32) === Math.floor((address + SLAB_BYTES - 1) / 2 ** 32);
}

/** Over Node's own sockets. */
function newNodeRig(): Rig {
  let host: NodeSockets | undefined;
  const rig = new GatewayRig((parts) => new Flows(parts), {
    hostOf: (slab, wake) => {
      host = new NodeSockets({ slab, wake });
      return host;
    },
  });
  closers.push(() => {
    rig.flows.close();
    host!.end();
  });
  return rig;
}

function newRig(mtuBytes = 1500): Rig {
  const fabric = new Fabric();
  fabric.runOnLoop();
  for (let tries = 0; tries < 50; tries++) {
    let host: NativeSockets | undefined;
    const rig = new GatewayRig((parts) => new Flows(parts), {
      mtuBytes,
      slabBytes: SLAB_BYTES,
      hostOf: (slab, wake) => {
        const loop = {
          slab,
          address: addressOf(slab),
          watch: (fd: number, events: number, watcher: DescriptorWatcher) => fabric.watch(fd, events, watcher),
          rewatch: (fd: number, events: number) => fabric.rewatch(fd, events),
          unwatch: (fd: number) => fabric.unwatch(fd),
          wake,
        };
        host = new NativeSockets(loop);
        return host;
      },
    });
    if (!isReachable(rig)) {
      host!.end();
      continue;
    }
    closers.push(() => {
      rig.flows.close();
      expect(host!.count).toBe(0);
      host!.end();
      fabric.stop();
    });
    return rig;
  }
  throw new Error('no slab within one high word of addresses');
}

beforeEach((ctx) => needsNative(ctx, whyNoNative()));
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** Virtual time goes on until `done` has something. */
async function eventually<T>(rig: Rig, what: string, done: () => T[]): Promise<T[]> {
  let found: T[] = [];
  await until(() => {
    rig.run();
    found = done();
    return found.length > 0;
  }, what);
  return found;
}

async function server(isIp6: boolean): Promise<{ port: number; socket: dgram.Socket; heard: string[] }> {
  const socket = dgram.createSocket(isIp6 ? 'udp6' : 'udp4');
  const heard: string[] = [];
  socket.on('message', (bytes, { port }) => {
    heard.push(`${port}`);
    socket.send(Buffer.from(bytes).reverse(), port, isIp6 ? '::1' : '127.0.0.1');
  });
  socket.bind(0, isIp6 ? '::1' : '127.0.0.1');
  await once(socket, 'listening');
  closers.push(() => socket.close());
  return { port: socket.address().port, socket, heard };
}

function request(isIp6: boolean, sequence: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + data.length);
  bytes.set([isIp6 ? 128 : 8, 0, 0, 0, 0, 0, sequence >> 8, sequence & 255]);
  bytes.set(data, 8);
  return bytes;
}

const summary = (errors: readonly GotError[]) => errors.map((e) => [e.type, e.code, e.info, e.reporter]);

describe.each([
  ['native, IPv4', A, GATEWAY, newRig],
  ['native, IPv6', A6, GATEWAY6, newRig],
  ['Node, IPv4', A, GATEWAY, newNodeRig],
  ['Node, IPv6', A6, GATEWAY6, newNodeRig],
])('UDP on loopback, %s', (name, guest, gateway, newRig) => {
  const isIp6 = guest === A6;

  test.each([0, 5, 1400, 60_000])('%i bytes there and back', async (bytes) => {
    const rig = newRig();
    const { port } = await server(isIp6);
    const u = rig.udp(guest, 33_221);
    rig.guests.sockets.setOption(u, isIp6 ? SocketOption.MtuDiscover6 : SocketOption.MtuDiscover, 0);
    rig.send(u, gateway, port, payload(bytes));
    rig.run();
    const [got] = await eventually(rig, 'the answer', () => rig.got(u));
    expect(got!.bytes).toEqual(payload(bytes).reverse());
    expect(got!.from).toBe(isIp6 ? `[${gateway}]:${port}` : `${gateway}:${port}`);
    if (name.startsWith('native')) expect(got!.hops).toBe(63);
  });

  test('many at once, in order', async () => {
    const rig = newRig();
    const { port, heard } = await server(isIp6);
    const u = rig.udp(guest, 33_222);
    rig.inOneBreath(() => {
      for (let i = 0; i < 100; i++) rig.send(u, gateway, port, text(`${i}`.padStart(3, '0')));
      rig.run();
    });
    const all: number[] = [];
    await until(() => {
      rig.run();
      all.push(...rig.got(u).map(({ bytes }) => Number(words(bytes.reverse()))));
      return all.length === 100;
    }, '100 answers');
    expect(all).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(new Set(heard).size).toBe(1); // one socket
  });
});

test('5,000 flows at once, each with its own socket and answer', async () => {
  const rig = newRig();
  const { port, heard } = await server(false);
  const { sockets } = rig.guests;
  const open: number[] = [];
  for (let i = 0; i < 5000; i++) {
    const u = rig.udp(i % 2 === 0 ? A : B, 20_000 + i);
    open.push(u);
    rig.send(u, GATEWAY, port, text(`${i}`));
    if (i % 50 === 49) rig.run();
    if (i % 200 === 199) await until(() => heard.length === i + 1, `${i + 1} questions`);
  }
  let answers = 0;
  await until(
    () => {
      rig.run();
      for (const [i, u] of open.entries())
        for (const { bytes } of rig.got(u)) {
          expect(words(bytes.reverse())).toBe(`${i}`);
          answers++;
        }
      return answers === 5000;
    },
    'all answers',
    20_000,
  );
  expect(new Set(heard).size).toBe(5000);
  expect([...rig.flows.udp.flows()]).toHaveLength(5000);
  for (const u of open) sockets.close(u);
  rig.run(121_000_000);
  expect([...rig.flows.udp.flows()]).toEqual([]);
}, 60_000);

// Node's own sockets do not hear of it.
test.each([
  ['IPv4', A, GATEWAY],
  ['IPv6', A6, GATEWAY6],
])('a closed port is refused by the target itself, %s', async (_, guest, gateway) => {
  const isIp6 = guest === A6;
  const rig = newRig();
  const { port, socket } = await server(isIp6);
  const u = rig.udp(guest, 33_223);
  closers.pop();
  socket.close();
  await once(socket, 'close');
  rig.send(u, gateway, port, text('anybody?'));
  rig.run();
  const errors = await eventually(rig, 'an error', () => rig.errors(u));
  expect(summary(errors)).toEqual([isIp6 ? [1, 4, 0, gateway] : [3, 3, 0, gateway]]);
  expect(words(errors[0]!.bytes)).toBe('anybody?');
});

describe.each([
  ['IPv4', A, FAR, '127.0.0.1', false],
  ['IPv6', A6, FAR6, '::1', true],
] as const)('echo, %s', (_, guest, far, loopback, isIp6) => {
  beforeEach((ctx) => skipIf(ctx, whyNoNamespace()));

  test('by a ping socket of the kernel', async () => {
    const rig = newRig();
    rig.targets.leads.set(isIp6 ? `[${far}]:0` : `${far}:0`, [loopback, 0]);
    const h = rig.echo(guest, 4321);
    inNamespace(65_536, () => {
      for (let sequence = 1; sequence <= 3; sequence++)
        rig.send(h, far, 0, request(isIp6, sequence, payload(1000, sequence)));
      rig.run();
    });
    const all: number[] = [];
    await until(() => {
      rig.run();
      for (const { bytes, from } of rig.got(h)) {
        expect(from).toBe(isIp6 ? `[${far}]:4321` : `${far}:4321`);
        expect([bytes[0], bytes[4]! * 256 + bytes[5]!]).toEqual([isIp6 ? 129 : 0, 4321]);
        expect(bytes.subarray(8)).toEqual(payload(1000, bytes[7]));
        all.push(bytes[7]!);
      }
      return all.length === 3;
    }, 'three replies');
    expect(all).toEqual([1, 2, 3]);
  });

  test('where the kernel forbids ping sockets', () => {
    const rig = newRig();
    const h = rig.echo(guest, 4321);
    inNamespace(
      65_536,
      () => {
        rig.send(h, far, 0, request(isIp6, 1, payload(56)));
        rig.run();
      },
      '1 0',
    );
    expect(summary(rig.errors(h))).toEqual([isIp6 ? [1, 1, 0, GATEWAY6] : [3, 13, 0, GATEWAY]]);
    expect(rig.counters.echoForbidden).toBe(1);
  });
});

describe.each([
  ['IPv4', A, '203.0.113.9', '10.99.0.1', false],
  ['IPv6', A6, '2001:db8::9', 'fd99::1', true],
] as const)('behind a router, %s', (_, guest, far, router, isIp6) => {
  beforeEach((ctx) => skipIf(ctx, whyNoNamespace()));

  const within = (knowsMore: boolean, rig: Rig, act: () => void): void => {
    const place = behindRouter(knowsMore, () => {
      act();
      rig.run();
    });
    closers.push(place.close);
  };

  test.each(['UDP', 'echo'])('a traceroute by %s sees it', async (kind) => {
    const rig = newRig();
    const h = kind === 'UDP' ? rig.udp(guest, 33_224) : rig.echo(guest, 4322);
    rig.guests.sockets.setOption(h, isIp6 ? SocketOption.UnicastHops : SocketOption.Ttl, 2);
    const sent = kind === 'UDP' ? text('probe') : request(isIp6, 7, text('probe'));
    within(true, rig, () => rig.send(h, far, kind === 'UDP' ? 33_435 : 0, sent));
    const errors = await eventually(rig, 'time exceeded', () => rig.errors(h));
    expect(summary(errors)).toEqual([[isIp6 ? 3 : 11, 0, 0, router]]);
    const quoted = errors[0]!.bytes;
    expect(words(kind === 'UDP' ? quoted : quoted.subarray(8))).toBe('probe');
    if (kind === 'echo') expect([...quoted.subarray(4, 8)]).toEqual([4322 >> 8, 4322 & 255, 0, 7]);
  });

  test('no route there', async () => {
    const rig = newRig();
    const u = rig.udp(guest, 33_225);
    within(false, rig, () => rig.send(u, far, 9, text('x')));
    const errors = await eventually(rig, 'unreachable', () => rig.errors(u));
    expect(summary(errors)).toEqual([[isIp6 ? 1 : 3, 0, 0, router]]);
  });

  test.each(['UDP', 'echo'])('%s too long for the way out', async (kind) => {
    const rig = newRig(9000);
    const h = kind === 'UDP' ? rig.udp(guest, 33_226) : rig.echo(guest, 4323);
    rig.guests.sockets.setOption(h, isIp6 ? SocketOption.MtuDiscover6 : SocketOption.MtuDiscover, 2);
    const sent = kind === 'UDP' ? payload(3000) : request(isIp6, 5, payload(3000));
    within(true, rig, () => rig.send(h, far, kind === 'UDP' ? 33_435 : 0, sent));
    const errors = await eventually(rig, 'too big', () => rig.errors(h));
    expect(summary(errors)).toEqual([isIp6 ? [2, 0, 1500, GATEWAY6] : [3, 4, 1500, GATEWAY]]);
    const quoted = errors[0]!.bytes.subarray(kind === 'UDP' ? 0 : 8);
    expect(quoted.length).toBeGreaterThan(400);
    expect(quoted).toEqual(payload(3000).subarray(0, quoted.length));
  });
});
