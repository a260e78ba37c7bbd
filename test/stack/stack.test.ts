import { describe, expect, test } from 'vitest';
import { PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import { Slab } from '../../core/slab.ts';
import { StateError } from '../../core/state.ts';
import { AddressState, Family, parseAddress, Ready, SocketType, type Stack, StackPort } from '../../stack/stack.ts';
import { addAddress, HostPair, newHost } from '../kit/stack-kit.ts';

const BYTES = 1_000_000;
const byteAt = (i: number): number => (i * 7) & 255;
const ip = (text: string): Int32Array => parseAddress(text)!;

/** Connects from `a` to port 80 of `b` at `address`; both handles. */
function connect(hosts: HostPair, a: Stack, b: Stack, address: string): { client: number; server: number } {
  const family = address.includes(':') ? Family.Inet6 : Family.Inet;
  const listener = b.sockets.socket(family, SocketType.Stream);
  expect(b.sockets.bind(listener, ip(family === Family.Inet ? '0.0.0.0' : '::'), 80)).toBe(0);
  expect(b.sockets.listen(listener, 5)).toBe(0);
  const client = a.sockets.socket(family, SocketType.Stream);
  a.sockets.connect(client, ip(address), 80);
  hosts.touch();
  expect(hosts.pair.runUntil(() => (b.sockets.poll(listener) & Ready.In) !== 0, 5_000_000)).toBe(true);
  return { client, server: b.sockets.accept(listener) };
}

/** Moves `BYTES` bytes and compares each; how many arrived before nothing was left to happen. */
function move(hosts: HostPair, a: Stack, client: number, b: Stack, server: number): number {
  const data = Uint8Array.from({ length: BYTES }, (_, i) => byteAt(i));
  const into = new Uint8Array(65536);
  let sent = 0;
  let got = 0;
  for (let idle = 0; got < BYTES && idle < 3; ) {
    const before = got + sent;
    sent += Math.max(0, a.sockets.send(client, data, sent, BYTES - sent, 0));
    for (let n = b.sockets.receive(server, into, 0, into.length, 0); n > 0; ) {
      for (let i = 0; i < n; i++) if (into[i] !== byteAt(got + i)) throw new Error(`byte ${got + i} is another`);
      got += n;
      n = b.sockets.receive(server, into, 0, into.length, 0);
    }
    hosts.touch();
    idle = hosts.pair.step() || got + sent > before ? 0 : idle + 1;
  }
  return got;
}

describe('two stacks on a link', () => {
  test.each(['fd00::2', '10.0.0.2'])('move bytes to %s', (address) => {
    const hosts = new HostPair({ link: { delayUs: 1000 } });
    const { client, server } = connect(hosts, hosts.a, hosts.b, address);
    expect(move(hosts, hosts.a, client, hosts.b, server)).toBe(BYTES);
  });

  test.each(['fd00::2', '10.0.0.2'])('move bytes to %s in super-frames', (address) => {
    const hosts = new HostPair({ takesOffload: true, link: { delayUs: 1000, takesOffload: true } });
    let longest = 0;
    hosts.pair.world.observe({
      delivered: (hop) => {
        longest = Math.max(longest, hop.length);
      },
    });
    const { client, server } = connect(hosts, hosts.a, hosts.b, address);
    expect(move(hosts, hosts.a, client, hosts.b, server)).toBe(BYTES);
    expect(longest).toBeGreaterThan(30_000);
  });
});

describe('a stack', () => {
  test.each(['::1', '127.0.0.1', 'fd00::1', '10.0.0.1'])('reaches itself at %s, and nothing leaves', (address) => {
    const hosts = new HostPair();
    hosts.pair.run(10_000_000); // until all that an interface announces was sent
    let frames = 0;
    hosts.pair.world.observe({ sent: () => void frames++ });
    const { client, server } = connect(hosts, hosts.a, hosts.a, address);
    expect(move(hosts, hosts.a, client, hosts.a, server)).toBe(BYTES);
    expect(frames).toBe(0);
  });

  test('takes no frame for another station, of a type that it does not speak, or too short', () => {
    const { a, pair } = new HostPair();
    const at = pair.world.slab.alloc(64);
    const eth0 = a.interfaces.get(2)!;
    const receive = (mac: readonly number[], type: number, length = 60): Drop => {
      pair.world.slab.bytes.fill(0, at, at + 64);
      pair.world.slab.bytes.set([...mac, 2, 0, 0, 0, 0, 9, type >> 8, type & 255], at);
      return a.receive(eth0, at, length, PLAIN, pair.nowUs);
    };
    expect(receive([2, 0, 0, 0, 0, 7], 0x0800)).toBe(Drop.NotForUs);
    expect(receive([2, 0, 0, 0, 0, 1], 0x88b5)).toBe(Drop.EtherType);
    expect(receive([2, 0, 0, 0, 0, 1], 0x0800, 13)).toBe(Drop.EthTruncated);
    expect(receive([255, 255, 255, 255, 255, 255], 0x0800)).toBe(Drop.Ip4Version);
  });

  test('goes on at the µs of its snapshot, on whatever clock', () => {
    const { a, b, pair } = new HostPair();
    a.sockets.connect(a.sockets.socket(Family.Inet, SocketType.Stream), ip('10.0.0.77'), 80);
    pair.world.touch(pair.a);
    pair.run(1_500_000);
    const deadlineUs = a.deadlineUs();
    expect(Number.isFinite(deadlineUs)).toBe(true);
    b.load(a.save(), 77_000_000_000);
    expect(b.shared.nowUs).toBe(a.shared.nowUs);
    expect(b.deadlineUs() - 77_000_000_000).toBe(deadlineUs - a.shared.nowUs);
  });

  test('says that a snapshot is none', () => {
    const { a, b } = new HostPair();
    const snapshot = a.save();
    expect(() => b.load(snapshot.subarray(0, snapshot.length - 1), 0)).toThrow(StateError);
    expect(() => b.load(Uint8Array.of(1, 2, 3), 0)).toThrow(StateError);
  });
});

test('what comes in by one interface and leaves by another wakes the other port', () => {
  const slab = new Slab({ bytesMax: 8 << 20 });
  const { stack, port } = newHost(slab, 1);
  const eth1 = stack.addInterface({
    name: 'eth1',
    mac: Uint8Array.of(2, 0, 0, 0, 1, 1),
    mtuBytes: 1500,
    dadTransmits: 0,
  });
  const woken: unknown[] = [];
  const host = { nowUs: () => 0, wake: (one: unknown) => void woken.push(one), at: () => 1, cancel: () => {} };
  const other = new StackPort(stack, eth1, host);
  woken.length = 0;
  addAddress(stack, eth1.number, 'fd01::1/64'); // its neighbours are told at once
  port.flush(0);
  expect(woken).toEqual([other]);
  other.close();
  port.flush(0);
  expect(woken).toEqual([other]);
});

test('who reads news is called when addresses changed or the configuration has news, and at no other turn', () => {
  const { a, pair } = new HostPair();
  let calls = 0;
  const turn = (): number => {
    const before = calls;
    a.dispatch(pair.nowUs);
    return calls - before;
  };
  a.onNews(() => calls++);
  expect([turn(), turn()]).toEqual([1, 0]);
  const n = a.addresses.find(parseAddress('10.0.0.1')!, 2);
  a.addresses.setState(n, AddressState.Deprecated);
  expect([turn(), turn()]).toEqual([1, 0]);
  a.addresses.remove(n);
  expect([turn(), turn()]).toEqual([1, 0]);
});
