import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { whyNoNative } from '../../sys/libc.io.ts';
import { SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from '../../sys/socket.io.ts';
import {
  closePlug,
  connect,
  dataSocket,
  isClosed,
  needsNative,
  raw,
  receive,
  send,
  TestFabric,
  vdeRequest,
} from '../kit/raw.ts';
import { frame } from '../kit/test-host.ts';

let net: TestFabric;
const open: number[] = [];

beforeEach((ctx) => {
  needsNative(ctx, whyNoNative());
  net = new TestFabric();
});

afterEach(() => {
  for (const fd of open.splice(0)) raw.close(fd);
  net?.close();
  vi.restoreAllMocks();
});

function ctl(): number {
  const fd = connect(SOCK_STREAM, `${net.directory}/ctl`);
  open.push(fd);
  return fd;
}

function data(path?: string): Uint8Array {
  const { fd, address } = dataSocket(path);
  open.push(fd);
  return address;
}

const pathAddress = (path: string): Uint8Array => {
  const address = new Uint8Array(110);
  address[0] = 1;
  address.set(new TextEncoder().encode(path).subarray(0, 108), 2);
  return address;
};

describe('a plug gets a port', () => {
  test.each([
    ['in one write', [0]],
    ['in two', [0, 7]],
    ['cut in its address', [0, 60]],
    ['a byte short at first', [0, 121]],
    ['byte by byte', Array.from({ length: 122 }, (_, i) => i)],
  ])('whose request comes %s', (_name, cuts) => {
    const fd = ctl();
    const request = vdeRequest(3, data());
    for (const [i, cut] of cuts.entries()) {
      send(fd, request.subarray(cut, cuts[i + 1] ?? request.length));
      net.turn(2);
    }
    expect(receive(fd)).toHaveLength(110);
    expect(net.ports.map(({ number }) => number)).toEqual([3]);
  });

  test('in User Mode Linux’s 124 bytes with an abstract name', () => {
    const fd = ctl();
    const request = new Uint8Array(124);
    request.set(vdeRequest(-1, data()));
    send(fd, request);
    net.turn();
    expect(receive(fd)).toHaveLength(110);
  });

  test('by version 1, even if its last two bytes come late', () => {
    const fd = ctl();
    const request = new Uint8Array(124);
    request.set([0xce, 0xfa, 0xed, 0xfe]);
    request.set(data(), 14);
    send(fd, request.subarray(0, 122));
    net.turn();
    expect([receive(fd), net.ports.length]).toEqual([undefined, 0]);
    send(fd, request.subarray(122));
    net.turn();
    expect(receive(fd)).toHaveLength(110);
  });

  test('that another plug has: they share it', () => {
    const [one, other] = [ctl(), ctl()];
    send(one, vdeRequest(5, data()));
    send(other, vdeRequest(5, data()));
    net.turn();
    expect(net.ports.map(({ number }) => number)).toEqual([5, 5]);
  });

  test('with a socket of its own at a path, and leaves nothing behind', () => {
    const fd = ctl();
    send(fd, vdeRequest(-1, data(net.file('mine'))));
    net.turn();
    expect(receive(fd)).toHaveLength(110);
    expect(readdirSync(net.directory).filter((name) => /^\d+\./.test(name))).toHaveLength(1);
    raw.close(open.splice(open.indexOf(fd), 1)[0]!);
    net.turn();
    expect([net.ports.length, readdirSync(net.directory).filter((name) => /^\d+\./.test(name))]).toEqual([0, []]);
  });

  test('and may go on talking on its control connection', () => {
    const plug = net.join();
    for (let i = 0; i < 20; i++) send(plug.control, new Uint8Array(1000));
    net.turn(80);
    expect([net.ports.length, receive(plug.control)]).toEqual([1, undefined]);
    closePlug(plug);
  });
});

describe('a connection is closed at once', () => {
  const cases: [string, () => Uint8Array][] = [
    ['for a port out of range', () => vdeRequest(17, data())],
    ['for a port of 2^23', () => vdeRequest(0x7fffff, data())],
    ['for a path that does not exist', () => vdeRequest(-1, pathAddress(net.file('none')))],
    ['for a path behind a file', () => vdeRequest(-1, pathAddress('/etc/passwd/none'))],
    ['for a path of 108 bytes', () => vdeRequest(-1, pathAddress('/'.padEnd(120, 'x')))],
    [
      'for a path through too many links',
      () => {
        symlinkSync('loop', net.file('loop'));
        return vdeRequest(-1, pathAddress(net.file('loop/x')));
      },
    ],
    ['for an empty path', () => vdeRequest(-1, pathAddress(''))],
    [
      'for a file',
      () => {
        writeFileSync(net.file('file'), '');
        return vdeRequest(-1, pathAddress(net.file('file')));
      },
    ],
    [
      'for a directory',
      () => {
        mkdirSync(net.file('dir'));
        return vdeRequest(-1, pathAddress(net.file('dir')));
      },
    ],
    [
      'for a symbolic link to a socket',
      () => {
        data(net.file('real'));
        symlinkSync(net.file('real'), net.file('link'));
        return vdeRequest(-1, pathAddress(net.file('link')));
      },
    ],
    ['for a socket of another type', () => vdeRequest(-1, pathAddress(`${net.directory}/ctl`))],
    ['for an abstract name that nobody has', () => vdeRequest(-1, pathAddress('\0nobody'))],
    ['for no AF_UNIX address', () => vdeRequest(-1, new Uint8Array(110).fill(9))],
    ['for a wrong magic', () => new Uint8Array(122).fill(7)],
    ['for 256 random bytes', () => new Uint8Array(256).map((_, i) => (i * 151) & 0xff)],
  ];
  test.each(cases)('%s', (_name, request) => {
    const fd = ctl();
    send(fd, request());
    net.turn();
    expect([isClosed(fd), net.ports.length]).toEqual([true, 0]);
    closePlug(net.join()); // and the next one is served
  });

  test('when the peer ends it', () => {
    const fd = ctl();
    send(fd, vdeRequest(1, data()).subarray(0, 50));
    net.turn();
    const before = readdirSync('/proc/self/fd').length;
    raw.close(open.splice(open.indexOf(fd), 1)[0]!);
    net.turn();
    expect(before - readdirSync('/proc/self/fd').length).toBe(2);
  });

  test('that says nothing for 5 seconds, but one with a port may be silent', () => {
    const plug = net.join();
    const silent = ctl();
    const slow = ctl();
    net.turn();
    send(slow, vdeRequest(1, data()).subarray(0, 100));
    net.turn();
    const now = performance.now();
    const clock = vi.spyOn(performance, 'now').mockReturnValue(now + 4_900);
    net.turn();
    expect([isClosed(silent), isClosed(slow)]).toEqual([false, false]);
    clock.mockReturnValue(now + 5_100);
    net.turn();
    expect([isClosed(silent), isClosed(slow), net.ports.length]).toEqual([true, true, 1]);
    closePlug(plug);
  });
});

describe('frames of a plug', () => {
  test('reach another one', () => {
    const [a, b] = [net.join(), net.join()];
    send(a.data, frame(1));
    net.turn();
    expect(receive(b.data)).toEqual(new Uint8Array(frame(1)));
    closePlug(a);
    closePlug(b);
  });

  test.each([
    ['of 13 bytes is a runt', 13, { runt: 1 }, 0],
    ['of no bytes is nothing', 0, {}, 0],
    ['of 9234 bytes passes', 9234, {}, 1],
    ['of 9235 bytes is too long for the others', 9235, { 'tx-too-long': 1 }, 0],
    ['of 65,536 bytes is cut, so it is dropped', 65_536, { 'rx-truncated': 1 }, 0],
  ])('%s', (_name, length, drops, arrived) => {
    const [a, b] = [net.join(), net.join()];
    for (let batch = 0; batch < 3; batch++) {
      send(a.data, frame(1, length));
      net.turn();
      if (batch < 2) for (const { port } of net.ports) port.counters.drops.counts.fill(0);
    }
    expect(net.drops).toEqual(drops);
    let count = 0;
    while (receive(b.data) !== undefined) count++;
    expect([count, net.ports.length]).toEqual([3 * arrived, 2]);
    closePlug(a);
    closePlug(b);
  });
});

test.each([
  ['ctl', SOCK_SEQPACKET],
  ['ctl', SOCK_DGRAM],
  ['join', SOCK_STREAM],
  ['stream', SOCK_SEQPACKET],
])('%s refuses a socket of type %i', (name, type) => {
  expect(() => connect(type, `${net.directory}/${name}`)).toThrow('errno 91'); // EPROTOTYPE
});
