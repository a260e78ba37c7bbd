import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DatagramPort } from '../../plug/datagram-port.io.ts';
import { whyNoNative } from '../../sys/libc.io.ts';
import { AF_UNIX, SOCK_SEQPACKET, SOCK_STREAM } from '../../sys/socket.io.ts';
import { closePlug, needsNative, type Plug, raw, receive, send, TestFabric } from '../kit/raw.ts';
import { frame } from '../kit/test-host.ts';

let net: TestFabric;
const plugs: Plug[] = [];

beforeEach((ctx) => {
  needsNative(ctx, whyNoNative());
  net = new TestFabric();
});

afterEach(() => {
  for (const plug of plugs.splice(0)) closePlug(plug);
  net?.close();
});

function join(port?: number): Plug {
  const plug = net.join(port);
  plugs.push(plug);
  return plug;
}

const count = (fd: number): number => {
  let n = 0;
  while (receive(fd) !== undefined) n++;
  return n;
};

const to = (target: number, source: number, length = 1514): Uint8Array => {
  const bytes = frame(source, length);
  bytes.set([2, 0, 0, 0, 0, target]);
  return bytes;
};

describe('a port that stops reading', () => {
  test('loses its own frames only, counted, in bounded memory, and gets what was held when it reads again', () => {
    const [a, slow, c, d] = [join(1), join(2), join(3), join(4)];
    for (const [i, { data }] of [a, slow, c, d].entries()) send(data, to(99, i + 1));
    net.turn();
    for (const { data } of [a, slow, c, d]) count(data);
    const used = net.fabric.slab.usedBytes;
    let others = 0;
    for (let n = 0; n < 3000; n++) {
      send(a.data, to(2, 1));
      send(c.data, to(4, 3));
      net.turn(1);
      others += count(d.data);
    }
    net.turn(300); // what was paused in between
    others += count(d.data);
    expect(others).toBe(3000);
    expect(net.fabric.slab.usedBytes - used).toBeLessThanOrEqual(256 * 1024);
    const port = net.ports[1]!;
    const lost = port.port.counters.drops.total();
    expect([lost > 0, Object.keys(net.drops).every((name) => name === 'tx-full' || name === 'tx-congested')]).toEqual([
      true,
      true,
    ]);
    let got = 0;
    net.until(() => {
      got += count(slow.data);
      return got + port.port.counters.drops.total() === net.ports[0]!.port.counters.rxFrames - 1;
    }, 'the held frames');
    expect(port.isCongested).toBe(false);
  });

  test('does not stop a flood to the others', () => {
    const [a, , c] = [join(), join(), join()];
    let got = 0;
    for (let n = 0; n < 1000; n++) {
      send(a.data, frame(1, 1514));
      net.turn(1);
      got += count(c.data);
    }
    expect([got, net.ports[0]!.pauses]).toEqual([1000, 0]);
  });
});

test('a short batch does not trust the errno of an older call', () => {
  const [a, b] = [join(1), join(2)];
  send(b.data, to(99, 2));
  net.turn();
  // Leaves ECONNREFUSED in errno, as any plug that tries again does.
  const dead = raw.open(AF_UNIX, SOCK_STREAM);
  raw.bindUnix(dead, net.file('dead'));
  raw.close(dead);
  for (let n = 0; n < 600; n++) {
    for (let k = 0; k < 4; k++) send(a.data, to(2, 1));
    const probe = raw.open(AF_UNIX, SOCK_STREAM);
    expect(raw.connectUnix(probe, net.file('dead'))).toBe(111);
    net.fabric.turn(0);
    raw.close(probe);
  }
  expect(net.ports).toHaveLength(2);
  expect(net.drops['tx-error']).toBeUndefined();
});

describe('SEQPACKET', () => {
  function packets() {
    const [ours, theirs] = net.fabric.sockets.pair(SOCK_SEQPACKET);
    let isDead = 0;
    const port = new DatagramPort(net.fabric, ours, () => void isDead++, { endsAtZero: true });
    net.fabric.attach(port, net.service.network, 7, { kind: 'ptp', description: '' });
    port.start();
    return { port, theirs, deaths: () => isDead };
  }

  test('ends with the peer, after what it sent', () => {
    const listener = join();
    const { theirs, deaths } = packets();
    for (let n = 0; n < 10; n++) send(theirs, frame(n));
    raw.close(theirs);
    net.turn();
    expect([count(listener.data), deaths() > 0]).toEqual([10, true]);
  });

  test('ends with the peer even while it is paused', () => {
    const listener = join();
    const { port, theirs, deaths } = packets();
    port.pause(true);
    send(theirs, frame(1));
    raw.close(theirs);
    net.turn();
    expect([count(listener.data), deaths() > 0]).toEqual([1, true]);
  });

  test('sends nothing to a peer that left, and counts it', () => {
    const sender = join();
    const { port, theirs } = packets();
    raw.close(theirs);
    send(sender.data, frame(1));
    net.turn();
    expect(port.counters.drops.total() + port.counters.txFrames).toBeLessThanOrEqual(1);
  });
});
