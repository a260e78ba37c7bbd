import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Rng } from '../../core/rng.ts';
import { Network } from '../../engine/network.ts';
import { streamPort } from '../../plug/stream-plug.io.ts';
import { StreamPort as Port, type StreamPort } from '../../plug/stream-port.io.ts';
import { Switch } from '../../switch/switch.ts';
import { whyNoNative } from '../../sys/libc.io.ts';
import { SOCK_STREAM } from '../../sys/socket.io.ts';
import { Gso, writeGso, writeNeedsChecksum } from '../../wire/offload.ts';
import { faultOf, partialFrame } from '../kit/frames.ts';
import { closePlug, connect, isClosed, needsNative, raw, receive, send, TestFabric } from '../kit/raw.ts';
import { frame, record } from '../kit/test-host.ts';

const HELLO_RECORD_BYTES = 64;

let net: TestFabric;
const open: number[] = [];

beforeEach((ctx) => {
  needsNative(ctx, whyNoNative());
  net = new TestFabric();
});

afterEach(() => {
  for (const fd of open.splice(0)) raw.close(fd);
  net?.close();
});

/** A stranger on DIR/stream, past the HELLO that weft sends first. */
function stranger(): number {
  const fd = connect(SOCK_STREAM, `${net.directory}/stream`);
  open.push(fd);
  net.turn();
  expect(receive(fd)).toHaveLength(HELLO_RECORD_BYTES);
  return fd;
}

/** Everything that arrives, cut into frames. */
function frames(fd: number): Buffer[] {
  let bytes = Buffer.alloc(0);
  for (let more = receive(fd); more?.length; more = receive(fd)) bytes = Buffer.concat([bytes, more]);
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    out.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return out;
}

describe('a stream', () => {
  test('carries frames both ways, many in one write', () => {
    const [a, b] = [stranger(), stranger()];
    send(a, Buffer.concat([record(frame(1)), record(frame(2, 1514)), record(frame(3, 9234))]));
    net.turn();
    expect(frames(b)).toEqual([frame(1), frame(2, 1514), frame(3, 9234)]);
    send(b, record(frame(4)));
    net.turn();
    expect(frames(a)).toEqual([frame(4)]);
  });

  test('is read in whatever pieces it comes', () => {
    const [a, b] = [stranger(), stranger()];
    const bytes = Buffer.concat([record(frame(1, 70)), record(frame(2, 14)), record(frame(3, 300))]);
    for (const byte of bytes) {
      send(a, Uint8Array.of(byte));
      net.turn(1);
    }
    net.turn();
    expect(frames(b)).toEqual([frame(1, 70), frame(2, 14), frame(3, 300)]);
  });

  test.each([
    ['0xffffffff', 0xffffffff],
    ['0x80000000', 0x80000000],
    ['one more than the longest record', 65_568],
  ])('ends at a length of %s, before anything is stored', (_name, length) => {
    const fd = stranger();
    const prefix = Buffer.alloc(4);
    prefix.writeUInt32BE(length);
    const used = net.fabric.slab.usedBytes;
    send(fd, Buffer.concat([record(frame(1)), prefix, Buffer.alloc(100)]));
    net.turn();
    expect([isClosed(fd), net.ports.length]).toEqual([true, 0]);
    expect(net.fabric.slab.usedBytes).toBeLessThan(used);
  });

  test.each([
    ['no bytes', 0, 'runt'],
    ['13 bytes', 13, 'runt'],
    ['9235 bytes', 9235, 'giant'],
    ['65,536 bytes', 65_536, 'giant'],
    ['65,567 bytes', 65_567, 'giant'],
  ])('counts a record of %s and goes on', (_name, length, drop) => {
    const [a, b] = [stranger(), stranger()];
    send(a, Buffer.concat([record(frame(1, length)), record(frame(2))]));
    net.turn(8);
    expect(net.drops).toEqual({ [drop]: 1 });
    expect(frames(b)).toEqual([frame(2)]);
  });

  test('delivers what a peer sent right before it left', () => {
    const [a, b] = [stranger(), stranger()];
    send(a, Buffer.concat(Array.from({ length: 50 }, (_, n) => record(frame(n, 1000)))));
    raw.close(open.splice(open.indexOf(a), 1)[0]!);
    net.turn(8);
    expect([frames(b).length, net.ports.length]).toEqual([50, 1]);
  });

  test('that is paused when its peer leaves is still read', () => {
    const [a, b] = [stranger(), stranger()];
    const port = net.ports[0]!.port as StreamPort;
    port.pause(true);
    send(a, record(frame(1)));
    net.turn();
    expect(frames(b)).toEqual([]);
    raw.close(open.splice(open.indexOf(a), 1)[0]!);
    net.turn();
    expect([frames(b), net.ports.length]).toEqual([[frame(1)], 1]);
  });

  test('that nobody reads holds a bounded backlog, counts its drops and disturbs nobody', () => {
    const [a, b, slow] = [net.join(), net.join(), stranger()];
    const used = net.fabric.slab.usedBytes;
    let arrived = 0;
    for (let n = 0; n < 4000; n++) {
      send(a.data, frame(1, 1514));
      if (n % 20 === 19) net.turn(2);
      while (receive(b.data) !== undefined) arrived++;
    }
    net.turn();
    while (receive(b.data) !== undefined) arrived++;
    const [, , stuck] = net.ports;
    expect(arrived).toBe(4000);
    expect(stuck!.port.counters.drops.byName()['tx-full']).toBeGreaterThan(0);
    expect(net.fabric.slab.usedBytes - used).toBeLessThan(4 << 20);
    // What was taken comes out whole once it is read, and then it is as good as new.
    let got = 0;
    net.until(() => {
      const before = got;
      got += drain(slow);
      return got === before;
    }, 'the backlog');
    expect(got + stuck!.port.counters.drops.total()).toBe(4000);
    send(a.data, frame(9));
    net.turn();
    expect(drain(slow)).toBe(1);
    closePlug(a);
    closePlug(b);
  });
});

test('a stream and a datagram port that caught up give their memory back where it is scarce', () => {
  const { slab } = net.fabric;
  const [a, slow, held] = [net.join(), stranger(), net.join()];
  for (let n = 0; n < 2000; n++) {
    send(a.data, frame(1, 1514));
    if (n % 20 === 19) net.turn(2);
  }
  const used = slab.usedBytes;
  expect(slab.isTight).toBe(false);
  const big = slab.alloc(slab.bytes.length / 2);
  expect(slab.isTight).toBe(true);
  net.until(() => {
    while (receive(held.data) !== undefined);
    return drain(slow) === 0 && slab.usedBytes < used + slab.bytes.length / 2 - (2 << 20);
  }, 'the memory');
  slab.release(big, slab.bytes.length / 2);
  send(a.data, frame(7));
  net.turn();
  expect([drain(slow), receive(held.data)]).toEqual([1, new Uint8Array(frame(7))]);
  closePlug(a);
  closePlug(held);
});

let rest = Buffer.alloc(0);

/** Reads everything; how many whole records of a stream whose frames are 1514 or 60 bytes. */
function drain(fd: number): number {
  let n = 0;
  for (let more = receive(fd); more?.length; more = receive(fd)) rest = Buffer.concat([rest, more]);
  for (; rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0); n++)
    rest = rest.subarray(4 + rest.readUInt32BE(0));
  return n;
}

describe('two wefts', () => {
  /** Two networks on one fabric, joined by a stream whose ends negotiate. */
  function joined() {
    const { fabric } = net;
    const [x, y] = fabric.sockets.pair();
    const far = new Network('far', new Switch({ portsMax: 16 }), { portsMax: 16 });
    const rng = new Rng(7);
    const options = { rng, isPlain: false, queueBytesMax: 1 << 20, onDead: () => {} };
    const here = streamPort(fabric, fabric.sockets, x, options);
    const there = streamPort(fabric, fabric.sockets, y, options);
    fabric.attach(here, net.service.network, 1, { kind: 'stream', description: '' });
    fabric.attach(there, far, 1, { kind: 'stream', description: '' });
    here.start();
    there.start();
    net.turn(8);
    return { here, there, far };
  }

  /** A rich end of a stream whose other end the test holds. */
  function rich(network: Network, number: number): number {
    const [ours, theirs] = net.fabric.sockets.pair();
    const port = new Port(net.fabric, ours, () => {}, { rich: true });
    net.fabric.sockets.setBuffers(ours, 1 << 20);
    net.fabric.sockets.setBuffers(theirs, 1 << 20);
    net.fabric.attach(port, network, number, { kind: 'relay', description: '' });
    port.start();
    open.push(theirs);
    return theirs;
  }

  test('agree on offload headers, and no HELLO reaches a network', () => {
    const plug = net.join(9);
    const { here, there } = joined();
    expect([here.takesOffload, there.takesOffload]).toEqual([true, true]);
    expect([receive(plug.data), net.drops]).toEqual([undefined, {}]);
    closePlug(plug);
  });

  test('pass super-frames whole, and split them where they leave', () => {
    const { far } = joined();
    const from = rich(net.service.network, 5);
    const to = rich(far, 5);
    const [ours, plain] = net.fabric.sockets.pair();
    open.push(plain);
    net.fabric.sockets.setBuffers(ours, 1 << 20);
    const port = new Port(net.fabric, ours, () => {});
    net.fabric.attach(port, far, 6, { kind: 'stream', description: '' });
    port.start();
    const { bytes, transport, headerBytes } = partialFrame({ payload: 60_000 });
    const header = new Uint8Array(10);
    const view = new DataView(header.buffer);
    writeNeedsChecksum(view, 0, transport, 16);
    writeGso(view, 0, Gso.Tcp4, headerBytes, 1448);
    const sent = Buffer.concat([header, bytes]);
    send(from, record(sent));
    net.turn(12);
    expect(frames(to)).toEqual([sent]);
    const segments = frames(plain);
    expect(segments).toHaveLength(42);
    expect(segments.map((s) => faultOf(new DataView(s.buffer, s.byteOffset), 0, s.length))).toEqual(
      segments.map(() => ''),
    );
  });

  test('count a rich record without room for its header', () => {
    const from = rich(net.service.network, 5);
    send(from, Buffer.concat([record(Buffer.alloc(9)), record(Buffer.alloc(10)), record(Buffer.alloc(0))]));
    net.turn();
    expect(net.drops).toEqual({ 'rx-length': 2, runt: 1 });
  });
});
