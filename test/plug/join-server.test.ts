import { closeSync, constants, openSync, readdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { JoinLease } from '../../plug/plug.ts';
import { packetPair, sendPacket } from '../../sys/fd-passing.io.ts';
import { whyNoNative } from '../../sys/libc.io.ts';
import { AF_INET, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from '../../sys/socket.io.ts';
import { openTap } from '../../sys/tap.io.ts';
import { connect, isClosed, needsNative, raw, receive, TestFabric } from '../kit/raw.ts';

const TAP = { v: 1, kind: 'tap', offload: true, name: 'test' };
const O_NONBLOCK = constants.O_NONBLOCK;

let net: TestFabric;
const open: number[] = [];

beforeEach((ctx) => {
  needsNative(ctx, whyNoNative());
  net = new TestFabric();
});

afterEach(() => {
  vi.restoreAllMocks();
  for (const fd of open.splice(0)) raw.close(fd);
  net?.close();
});

const keep = (fd: number): number => {
  open.push(fd);
  return fd;
};

/** Asks once; the answer, and whether the connection was closed behind it. */
function ask(request: unknown, descriptors: number[] = []): { answer: unknown; closed: boolean } {
  const fd = keep(connect(SOCK_SEQPACKET, `${net.directory}/join`));
  const bytes = request instanceof Uint8Array ? request : new TextEncoder().encode(JSON.stringify(request));
  sendPacket(fd, bytes, descriptors);
  net.turn();
  const answer = receive(fd);
  const closed = isClosed(fd);
  return { answer: answer?.length ? JSON.parse(Buffer.from(answer).toString()) : undefined, closed };
}

const countDescriptors = (): number => readdirSync('/proc/self/fd').length;

/** A TAP, in whatever namespace the test runs in: an ordinary user gets none, and the test is skipped. */
function tap(ctx: { skip(reason: string): void }): number {
  try {
    return keep(openTap('').fd);
  } catch (error) {
    needsNative(ctx, `no TAP can be opened here: ${(error as Error).message}`);
    throw error;
  }
}

describe('a request is answered with one line', () => {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  test.each<[string, unknown, RegExp]>([
    ['that is not JSON', text('{"v":1'), /not JSON/],
    ['of no UTF-8', new Uint8Array([0xff, 0xfe, 0]), /not JSON/],
    ['that is null', null, /version 1/],
    ['that is a list', [1], /version 1/],
    ['that is a number', 7, /version 1/],
    ['of version 2', { ...TAP, v: 2 }, /version 1/],
    ['of no kind', { v: 1 }, /kind/],
    ['of an unknown kind', { ...TAP, kind: 'pipe' }, /kind/],
    ['with a negative port', { ...TAP, port: -1 }, /port/],
    ['with half a port', { ...TAP, port: 1.5 }, /port/],
    ['with a port that is a text', { ...TAP, port: '1' }, /port/],
    ['with a name that is an object', { ...TAP, name: { toString: 1, valueOf: 1 } }, /descriptor must come/],
    ['without a descriptor', TAP, /descriptor must come/],
  ])('%s', (_name, request, why) => {
    const { answer, closed } = ask(request);
    expect(answer).toEqual({ v: 1, error: expect.stringMatching(why) });
    expect([closed, net.ports.length]).toEqual([true, 0]);
  });

  test('for a port out of range', () => {
    const fd = keep(openSync('/dev/null', 'r'));
    expect(ask({ ...TAP, port: 99 }, [fd]).answer).toEqual({ v: 1, error: expect.stringMatching(/out of range/) });
  });
});

describe('a descriptor that is no device is refused, and closed', () => {
  const kinds: [string, () => number[]][] = [
    ['/dev/null', () => [openSync('/dev/null', 'r+')]],
    ['/dev/zero', () => [openSync('/dev/zero', 'r')]],
    ['/dev/net/tun without a device', () => [openSync('/dev/net/tun', constants.O_RDWR | O_NONBLOCK)]],
    [
      'a regular file',
      () => {
        writeFileSync(net.file('file'), 'x');
        return [openSync(net.file('file'), 'r+')];
      },
    ],
    ['a directory', () => [openSync('/', 'r')]],
    ['a stream socket', () => raw.pair(SOCK_STREAM)],
    ['a packet socket of AF_UNIX', () => packetPair()],
    ['a UDP socket', () => [raw.open(AF_INET, SOCK_DGRAM)]],
    ['its own connection', () => [connect(SOCK_SEQPACKET, `${net.directory}/join`)]],
  ];
  test.each(kinds)('%s', (_name, make) => {
    let fds: number[];
    try {
      fds = make();
    } catch {
      return; // not on this host
    }
    for (const fd of fds) keep(fd);
    net.turn();
    const before = countDescriptors();
    const { answer, closed } = ask(TAP, [fds[0]!]);
    expect(answer).toEqual({ v: 1, error: 'the descriptor is neither a TAP nor a packet socket' });
    expect([closed, net.ports.length, countDescriptors() - before]).toEqual([true, 0, 1]);
  });
});

describe('descriptors', () => {
  test.each([2, 8])('%i at once: the first one counts, none stays open', (n) => {
    const fds = Array.from({ length: n }, () => keep(openSync('/dev/null', 'r')));
    const before = countDescriptors();
    expect(ask(TAP, fds).answer).toMatchObject({ error: expect.any(String) });
    expect(countDescriptors() - before).toBe(1); // our end of the connection
  });

  test.each([9, 100])('%i at once end the connection, and none stays open', (n) => {
    const fds = Array.from({ length: n }, () => keep(openSync('/dev/null', 'r')));
    const before = countDescriptors();
    expect(ask(TAP, fds)).toEqual({ answer: undefined, closed: true });
    expect(countDescriptors() - before).toBe(1);
    expect(ask(null).closed).toBe(true); // the next one is served
  });

  test('with an empty packet end the connection', () => {
    expect(ask(new Uint8Array(0), [keep(openSync('/dev/null', 'r'))])).toEqual({ answer: undefined, closed: true });
  });

  test('that come in a packet too long for a request end it too', () => {
    expect(ask(new Uint8Array(100_000).fill(0x20))).toEqual({ answer: undefined, closed: true });
  });
});

describe('a TAP', () => {
  test('gets a port that lives as long as the connection', (ctx) => {
    const fd = tap(ctx);
    const { answer, closed } = ask({ ...TAP, name: 'evil\x1b[2J', port: 3 }, [fd]);
    expect([answer, closed, net.ports[0]!.info.description]).toEqual([{ v: 1, port: 3 }, false, 'evil?[2J']);
    raw.close(open.pop()!);
    net.turn();
    expect(net.ports).toHaveLength(0);
  });

  test('whose header is not what the request says is refused', (ctx) => {
    const fd = tap(ctx);
    expect(ask({ ...TAP, offload: false }, [fd]).answer).toEqual({ v: 1, error: expect.stringMatching(/vnet header/) });
  });

  test('leaves with a second request on its connection', (ctx) => {
    const fd = tap(ctx);
    ask(TAP, [fd]);
    const connection = open.at(-1)!;
    const extra = openSync('/dev/null', 'r');
    sendPacket(connection, new TextEncoder().encode('{}'), [extra]);
    closeSync(extra);
    net.turn();
    expect([isClosed(connection), net.ports.length]).toEqual([true, 0]);
  });
});

test('who asks for nothing is closed after a minute, and counted like who is refused', () => {
  const silent = keep(connect(SOCK_SEQPACKET, `${net.directory}/join`));
  expect(ask({ v: 2 }).closed).toBe(true);
  expect(net.service.network.refused).toBe(1);
  const now = performance.now();
  const clock = vi.spyOn(performance, 'now').mockReturnValue(now + 59_000);
  net.turn();
  expect(isClosed(silent)).toBe(false);
  clock.mockReturnValue(now + 60_100);
  net.turn();
  expect(isClosed(silent)).toBe(true);
  expect(net.service.network.refused).toBe(2);
});

describe('a lease', () => {
  const WANTS = { ...TAP, mac: '02:00:00:00:00:09', lease: true };
  const left: string[] = [];
  const lease = (mac: Uint8Array, name: string): JoinLease | string | undefined => {
    if (name === 'full') return 'no address is left';
    if (name === 'closed') return undefined;
    return {
      addresses: [`10.0.2.${mac[5]}/24`],
      gateways: ['10.0.2.2'],
      mtu: 1400,
      dns: ['10.0.2.3'],
      search: ['example.org'],
      release: () => left.push(name),
    };
  };

  beforeEach(() => {
    left.length = 0;
    vi.spyOn(net.service, 'lease').mockImplementation(lease);
  });

  test('comes with the port, and goes with it', (ctx) => {
    const { answer } = ask(WANTS, [tap(ctx)]);
    const given = {
      addresses: ['10.0.2.9/24'],
      gateways: ['10.0.2.2'],
      mtu: 1400,
      dns: ['10.0.2.3'],
      search: ['example.org'],
    };
    expect(answer).toEqual({ v: 1, port: 1, ...given });
    expect(left).toEqual([]);
    for (const fd of open.splice(0)) raw.close(fd);
    net.turn();
    expect(left).toEqual(['test']);
    net.turn();
    expect(left).toHaveLength(1);
  });

  test('is for who asks for one', (ctx) => {
    expect(ask({ ...TAP, mac: WANTS.mac }, [tap(ctx)]).answer).toEqual({ v: 1, port: 1 });
  });

  test('a network that leases nothing gives the port alone', (ctx) => {
    expect(ask({ ...WANTS, name: 'closed' }, [tap(ctx)]).answer).toEqual({ v: 1, port: 1 });
  });

  test('without an address left there is no port, and one line says why', (ctx) => {
    const { answer, closed } = ask({ ...WANTS, name: 'full' }, [tap(ctx)]);
    expect([answer, closed, net.ports.length]).toEqual([{ v: 1, error: 'no address is left' }, true, 0]);
  });

  test.each([undefined, 7, '', '02:00', '03:00:00:00:00:01', '02:00:00:00:00:0g'])('needs a station: %s', (mac) => {
    expect(ask({ ...WANTS, mac }).answer).toEqual({ v: 1, error: expect.stringMatching(/^a lease is for a station/) });
  });
});
