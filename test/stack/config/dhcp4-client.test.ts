import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import { of4 } from '../../../stack/address.ts';
import { Dhcp4Client, type Dhcp4Options, Dhcp4State } from '../../../stack/config/dhcp4-client.ts';
import type { Lease4 } from '../../../stack/config/dhcp4-lease.ts';
import { viewOf } from '../../../wire/bytes.ts';
import { checksumOf, finish, pseudoHeader4 } from '../../../wire/checksum.ts';
import * as dhcp4 from '../../../wire/dhcp4.ts';
import * as ipv4 from '../../../wire/ipv4.ts';
import { frames, MAC, run, S, saved, transfer, world } from '../kit-conf.ts';

const ADDRESS = 0x0a000063;
const SERVER = 0x0a000001;
const AT = 4096;
const { Option, MessageType } = dhcp4;
const U32 = dhcp4.bytes4;

interface Seen {
  readonly type: number;
  readonly view: DataView;
  readonly options: dhcp4.Options;
  readonly source: number;
  readonly target: number;
}

/** A client with everything around it, and what it sent, read. */
function setup(options: Dhcp4Options = {}, seed = 1) {
  const w = world(seed);
  const area = w.slab.alloc(8192);
  const used: Lease4[] = [];
  const forgotten: number[] = [];
  const host = {
    use: (lease: Lease4) => void used.push(lease),
    forget: (lease: Lease4) => void forgotten.push(lease.address),
  };
  const client = new Dhcp4Client(w.shared, { number: 2, mac: MAC, output: w.output }, w.io, host, options);
  const take = (): Seen[] =>
    frames(w.shared, w.output).map((frame) => {
      const view = viewOf(frame);
      expect(ipv4.checkSum(view, 14)).toBe(Drop.None);
      const udpBytes = frame.length - 34;
      expect(checksumOf(view, 34, udpBytes, pseudoHeader4(view, 14, 17, udpBytes))).toBe(0xffff);
      expect(frame.subarray(0, 6)).toEqual(new Uint8Array(6).fill(255));
      return seen(frame.slice(42), ipv4.src(view, 14), ipv4.dst(view, 14));
    });
  const unicasts = (): Seen[] => w.io.sent.splice(0).map((sent) => seen(sent.bytes, -1, SERVER));
  /** A frame from the server, as the ip input would hand it over. */
  const give = (message: Uint8Array, target = ADDRESS): Drop => {
    const frame = frameOf(message, target);
    w.shared.bytes.set(frame, area + AT);
    return client.receiveFrame(2, area + AT, frame.length);
  };
  return { ...w, client, used, forgotten, take, unicasts, give, area };
}

function seen(message: Uint8Array, source: number, target: number): Seen {
  const view = viewOf(message);
  const options = dhcp4.readOptions(view, 0, message.length)!;
  return { type: options.get(53)![0]!, view, options, source, target };
}

function frameOf(message: Uint8Array, target: number): Uint8Array {
  const frame = new Uint8Array(42 + message.length);
  const view = viewOf(frame);
  frame.set([...MAC, 2, 0, 0, 0, 0, 1, 8, 0]);
  ipv4.setHeaderBytes(view, 14, 20);
  ipv4.setTotalLength(view, 14, frame.length - 14);
  ipv4.setTtl(view, 14, 64);
  ipv4.setProtocol(view, 14, 17);
  ipv4.setSrc(view, 14, SERVER);
  ipv4.setDst(view, 14, target);
  ipv4.seal(view, 14);
  view.setUint16(34, 67);
  view.setUint16(36, 68);
  view.setUint16(38, 8 + message.length);
  frame.set(message, 42);
  view.setUint16(40, finish(checksumOf(view, 34, 8 + message.length, pseudoHeader4(view, 14, 17, 8 + message.length))));
  return frame;
}

type Extra = [number, Uint8Array][];

function reply(to: Seen, type: number, extra: Extra = [], yiaddr = ADDRESS, drop: number[] = []): Uint8Array {
  const fields = {
    op: 2,
    xid: dhcp4.xid(to.view, 0),
    secs: 0,
    flags: 0,
    ciaddr: 0,
    yiaddr,
    siaddr: 0,
    giaddr: 0,
    mac: MAC,
  };
  const usual: Extra = [
    [53, Uint8Array.of(type)],
    [54, U32(SERVER)],
    [51, U32(3600)],
    [1, U32(0xffffff00)],
    [3, U32(SERVER)],
    [6, U32(0x08080808)],
  ];
  const codes = extra.map(([code]) => code);
  return dhcp4.buildMessage(fields, [...usual.filter(([c]) => !codes.includes(c) && !drop.includes(c)), ...extra]);
}

/** Goes through discover and request; returns with the client Bound at its time. */
function bind(s: ReturnType<typeof setup>, extra: Extra = []): void {
  s.client.start();
  run(s.shared, s.client, s.shared.nowUs + S);
  s.give(reply(s.take()[0]!, MessageType.Offer, extra));
  s.give(reply(s.take()[0]!, MessageType.Ack, extra));
  expect(s.client.state).toBe(Dhcp4State.Bound);
}

describe('RFC 2131 §4.4.1, getting an address', () => {
  test('discovers from 0.0.0.0 to everybody, with type, client identifier and parameter list', () => {
    const s = setup({ hostName: 'host' });
    s.client.start();
    run(s.shared, s.client, S);
    const [discover] = s.take();
    expect(discover).toMatchObject({ type: MessageType.Discover, source: 0, target: 0xffffffff });
    expect(dhcp4.ciaddr(discover!.view, 0)).toBe(0);
    expect(discover!.options.has(Option.ServerId)).toBe(false);
    // RFC 4361 §6.1
    expect(discover!.options.get(Option.ClientId)!.slice(0, 9)).toEqual(Uint8Array.of(255, 0, 0, 0, 2, 0, 3, 0, 1));
    expect(new TextDecoder().decode(discover!.options.get(Option.HostName))).toBe('host');
    // RFC 3442: 121 before 3
    const list = Array.from(discover!.options.get(Option.ParameterList)!);
    expect(list.indexOf(121)).toBeLessThan(list.indexOf(3));
    expect(list).toContain(119);
  });

  test('sends a name with dots as option 81 instead, RFC 4702 §3.1', () => {
    const s = setup({ hostName: 'a.lab' });
    s.client.start();
    run(s.shared, s.client, S);
    const [discover] = s.take();
    expect(discover!.options.get(Option.Fqdn)).toEqual(Uint8Array.of(5, 0, 0, 1, 97, 3, 108, 97, 98, 0));
    expect(discover!.options.has(Option.HostName)).toBe(false);
  });

  test('requests what was offered: same xid and secs, address and server as options, ciaddr 0', () => {
    const s = setup();
    s.client.start();
    run(s.shared, s.client, 6 * S);
    const discover = s.take().at(-1)!;
    s.give(reply(discover, MessageType.Offer));
    const [request] = s.take();
    expect(request!.type).toBe(MessageType.Request);
    expect(dhcp4.xid(request!.view, 0)).toBe(dhcp4.xid(discover.view, 0));
    expect(dhcp4.secs(request!.view, 0)).toBe(dhcp4.secs(discover.view, 0));
    expect(dhcp4.ciaddr(request!.view, 0)).toBe(0);
    expect(request!.options.get(Option.RequestedAddress)).toEqual(U32(ADDRESS));
    expect(request!.options.get(Option.ServerId)).toEqual(U32(SERVER));
    expect(request).toMatchObject({ source: 0, target: 0xffffffff });
  });

  test('gives the lease to the host once, and takes no second answer', () => {
    const s = setup();
    s.client.start();
    run(s.shared, s.client, S);
    s.give(reply(s.take()[0]!, MessageType.Offer));
    const ack = reply(s.take()[0]!, MessageType.Ack);
    expect(s.give(ack)).toBe(Drop.None);
    expect(s.give(ack)).toBe(Drop.Filtered);
    expect(s.used).toHaveLength(1);
    expect(s.used[0]).toMatchObject({
      address: ADDRESS,
      bits: 24,
      server: SERVER,
      routes: [{ prefix: 0, bits: 0, gateway: SERVER }],
      dnsServers: [0x08080808],
      expiresUs: S + 3600 * S,
      t1Us: S + 1800 * S,
      t2Us: S + 3150 * S,
    });
  });

  test('classless routes replace the router, and the search list the domain, RFC 3442, RFC 3397', () => {
    const s = setup();
    const search = Uint8Array.of(3, 108, 97, 98, 0, 1, 97, 0xc0, 0);
    bind(s, [
      [121, Uint8Array.of(8, 10, 10, 0, 0, 9)],
      [15, new TextEncoder().encode('old.lab\0')],
      [119, search],
      [26, Uint8Array.of(5, 0)],
    ]);
    expect(s.client.lease).toMatchObject({
      routes: [{ prefix: 0x0a000000, bits: 8, gateway: 0x0a000009 }],
      search: ['lab', 'a.lab'],
      domain: 'old.lab',
      mtuBytes: 1280,
    });
  });

  test.each([
    ['without server identifier', reply, [] as Extra, ADDRESS, [54]],
    ['without lease time', reply, [] as Extra, ADDRESS, [51]],
    ['without an address', reply, [] as Extra, 0, []],
    ['of a group address', reply, [] as Extra, 0xe0000001, []],
    ['for another client identifier (RFC 6842)', reply, [[61, Uint8Array.of(1, 2)]] as Extra, ADDRESS, []],
  ])('ignores an offer %s', (_what, make, extra, address, without) => {
    const s = setup();
    s.client.start();
    run(s.shared, s.client, S);
    expect(s.give(make(s.take()[0]!, MessageType.Offer, extra, address, without))).not.toBe(Drop.None);
    expect(s.client.state).toBe(Dhcp4State.Selecting);
  });

  test('ignores another transaction, another hardware address, a request, and the Ack of another server', () => {
    const s = setup();
    s.client.start();
    run(s.shared, s.client, S);
    const offer = reply(s.take()[0]!, MessageType.Offer);
    for (const at of [0, 4, 28]) {
      const bad = offer.slice();
      bad[at]! ^= 3;
      expect(s.give(bad)).toBe(Drop.Filtered);
    }
    s.give(offer);
    const request = s.take()[0]!;
    expect(s.give(reply(request, MessageType.Ack, [[54, U32(SERVER + 1)]]))).toBe(Drop.Filtered);
    expect(s.client.state).toBe(Dhcp4State.Requesting);
  });
});

describe('RFC 2131 §4.1, retransmission', () => {
  test('waits 4, 8, 16, 32, 64, 64 s, each within a second', () => {
    const s = setup({ startDelayUsMax: 0 });
    s.client.start();
    const at: number[] = [];
    run(s.shared, s.client, 200 * S, () => {
      if (s.take().length > 0) at.push(s.shared.nowUs);
    });
    const gaps = at.slice(1).map((t, i) => (t - at[i]!) / S);
    expect(gaps.map((gap, i) => Math.abs(gap - [4, 8, 16, 32, 64, 64][i]!) <= 1)).toEqual(gaps.map(() => true));
    expect(gaps.length).toBeGreaterThanOrEqual(5);
    expect(gaps.some((gap) => !Number.isInteger(gap))).toBe(true);
  });

  test('begins anew after 60 s of requests without an answer, §3.1.5', () => {
    const s = setup();
    s.client.start();
    run(s.shared, s.client, S);
    s.give(reply(s.take()[0]!, MessageType.Offer));
    const types: number[] = [];
    run(s.shared, s.client, 70 * S, () => types.push(...s.take().map((m) => m.type)));
    expect(types.slice(0, 5)).toEqual([3, 3, 3, 3, 1]);
  });

  test('a full output loses the message, not the client', () => {
    const s = setup();
    while (s.output.reserve(2000) !== 0) s.output.commit(2000, 0);
    s.client.start();
    run(s.shared, s.client, S);
    expect(s.shared.drops.counts[Drop.TxFull]).toBe(1);
    frames(s.shared, s.output);
    run(s.shared, s.client, 7 * S);
    expect(s.take()).toHaveLength(1);
  });
});

describe('RFC 2131 §4.4.5, keeping the address', () => {
  test('renews at T1 by unicast from the address, without options 50 and 54', () => {
    const s = setup();
    bind(s);
    run(s.shared, s.client, 1802 * S);
    const [request, more] = s.unicasts();
    expect(more).toBeUndefined();
    expect(s.io.opened[0]).toMatchObject({ port: 68, iface: 2 });
    expect(request!.type).toBe(MessageType.Request);
    expect(dhcp4.ciaddr(request!.view, 0)).toBe(ADDRESS);
    expect(request!.options.has(Option.RequestedAddress)).toBe(false);
    expect(request!.options.has(Option.ServerId)).toBe(false);
    expect(s.client.state).toBe(Dhcp4State.Renewing);
    const sentUs = s.shared.nowUs;
    s.io.give(0, reply(request!, MessageType.Ack), of4(SERVER), 67);
    s.client.poll();
    expect(s.client.state).toBe(Dhcp4State.Bound);
    expect(s.used).toHaveLength(2);
    expect(s.client.lease!.expiresUs).toBeLessThanOrEqual(sentUs + 3600 * S);
    expect(s.client.lease!.expiresUs).toBeGreaterThan(sentUs + 3500 * S);
  });

  test('halves what is left until T2, rebinds by broadcast, halves what is left of the lease, forgets it and begins anew', () => {
    const s = setup();
    bind(s);
    const log: string[] = [];
    run(s.shared, s.client, 3700 * S, () => {
      for (const m of s.unicasts()) log.push(`renew ${m.type}`);
      for (const m of s.take()) log.push(`${m.source === ADDRESS ? 'rebind' : 'anew'} ${m.type}`);
    });
    const renews = log.filter((l) => l === 'renew 3').length;
    const rebinds = log.filter((l) => l === 'rebind 3').length;
    expect(renews).toBeGreaterThanOrEqual(4); // 1800 … 3150 s: 675, 337, 168, 84, 60
    expect(renews).toBeLessThanOrEqual(8);
    expect(rebinds).toBeGreaterThanOrEqual(3);
    expect(rebinds).toBeLessThanOrEqual(6);
    expect(log.indexOf('anew 1')).toBe(renews + rebinds);
    expect(s.forgotten).toEqual([ADDRESS]);
    expect(s.io.openCount).toBe(0);
  });

  test('an answer while rebinding may come from another server', () => {
    const s = setup();
    bind(s);
    run(s.shared, s.client, 3200 * S);
    expect(s.client.state).toBe(Dhcp4State.Rebinding);
    const request = s.take().at(-1)!;
    expect(s.give(reply(request, MessageType.Ack, [[54, U32(SERVER + 1)]]))).toBe(Drop.None);
    expect(s.client.lease!.server).toBe(SERVER + 1);
    expect(s.forgotten).toEqual([]);
  });

  test('a Nak ends the use of the address at once, and the next one waits', () => {
    const s = setup();
    bind(s);
    run(s.shared, s.client, 1802 * S);
    s.give(reply(s.unicasts()[0]!, MessageType.Nak, [], 0));
    expect(s.forgotten).toEqual([ADDRESS]);
    expect(s.client.deadlineUs()).toBe(s.shared.nowUs);
    s.client.expire();
    s.give(reply(s.take()[0]!, MessageType.Offer));
    s.give(reply(s.take()[0]!, MessageType.Nak, [], 0));
    expect(s.client.deadlineUs()).toBeGreaterThanOrEqual(s.shared.nowUs + S);
  });

  test('an infinite lease has no deadline, and senseless T1 and T2 do not count', () => {
    const s = setup();
    bind(s, [[51, U32(0xffffffff)]]);
    expect(s.client.deadlineUs()).toBe(Infinity);
    const other = setup();
    bind(other, [
      [58, U32(4000)],
      [59, U32(10)],
    ]);
    expect(other.client.lease!.t1Us).toBe(S + 1800 * S);
    const third = setup();
    bind(third, [
      [58, U32(100)],
      [59, U32(200)],
    ]);
    expect(third.client.lease!.t2Us).toBe(S + 200 * S);
  });
});

describe('RFC 2131 §4.4.2, an address known before', () => {
  test('is requested with option 50, without a server, by broadcast', () => {
    const s = setup();
    s.client.start(ADDRESS);
    run(s.shared, s.client, S);
    const [request] = s.take();
    expect(request).toMatchObject({ type: MessageType.Request, source: 0 });
    expect(request!.options.get(Option.RequestedAddress)).toEqual(U32(ADDRESS));
    expect(request!.options.has(Option.ServerId)).toBe(false);
    expect(dhcp4.ciaddr(request!.view, 0)).toBe(0);
    expect(s.client.state).toBe(Dhcp4State.Rebooting);
    s.give(reply(request!, MessageType.Ack));
    expect(s.client.state).toBe(Dhcp4State.Bound);
  });

  test('falls back to discovery after a Nak, and when nobody answers', () => {
    const s = setup();
    s.client.start(ADDRESS);
    run(s.shared, s.client, S);
    s.give(reply(s.take()[0]!, MessageType.Nak, [], 0));
    s.client.expire();
    expect(s.take()[0]!.type).toBe(MessageType.Discover);
    const silent = setup();
    silent.client.start(ADDRESS);
    run(silent.shared, silent.client, 20 * S);
    expect(
      silent
        .take()
        .map((m) => m.type)
        .slice(0, 3),
    ).toEqual([3, 3, 1]);
  });

  test('a lease that nobody confirms after a move stays in use until it ends, §3.2.3', () => {
    const s = setup();
    bind(s);
    s.client.reconfirm();
    run(s.shared, s.client, 30 * S);
    expect(s.take().map((m) => m.type)).toEqual([3, 3]);
    expect(s.client.state).toBe(Dhcp4State.Bound);
    expect(s.forgotten).toEqual([]);
  });
});

test('declines an address that somebody else has, and waits 10 s, §3.1.5 and §4.4.4', () => {
  const s = setup();
  bind(s);
  s.client.decline(ADDRESS + 1);
  expect(s.client.state).toBe(Dhcp4State.Bound);
  s.client.decline(ADDRESS);
  const [decline] = s.take();
  expect(decline).toMatchObject({ type: MessageType.Decline, source: 0, target: 0xffffffff });
  expect(dhcp4.ciaddr(decline!.view, 0)).toBe(0);
  expect(dhcp4.secs(decline!.view, 0)).toBe(0);
  expect(decline!.options.get(Option.RequestedAddress)).toEqual(U32(ADDRESS));
  expect(decline!.options.get(Option.ServerId)).toEqual(U32(SERVER));
  expect(decline!.options.has(Option.ParameterList)).toBe(false);
  expect(s.client.deadlineUs()).toBe(s.shared.nowUs + 10 * S);
  expect(s.forgotten).toEqual([ADDRESS]);
});

test('releases by unicast with ciaddr and without option 50, §4.4.6', () => {
  const s = setup();
  bind(s);
  s.client.stop();
  const [release] = s.unicasts();
  expect(release!.type).toBe(MessageType.Release);
  expect(dhcp4.ciaddr(release!.view, 0)).toBe(ADDRESS);
  expect(release!.options.has(Option.RequestedAddress)).toBe(false);
  expect(release!.options.get(Option.ServerId)).toEqual(U32(SERVER));
  expect(s.client.deadlineUs()).toBe(Infinity);
  expect(s.io.openCount).toBe(0);
  expect(s.forgotten).toEqual([ADDRESS]);
});

test('pauses where the network wants no IPv4, at least 300 s, RFC 8925 §3.2', () => {
  const s = setup({ ip6Only: true });
  s.client.start();
  run(s.shared, s.client, S);
  const [discover] = s.take();
  expect(Array.from(discover!.options.get(Option.ParameterList)!)).toContain(108);
  s.give(reply(discover!, MessageType.Offer, [[108, U32(1)]]));
  expect(s.client.state).toBe(Dhcp4State.Ip6Only);
  expect(s.client.deadlineUs()).toBe(s.shared.nowUs + 300 * S);
  expect(s.take()).toEqual([]);
  const deaf = setup();
  bind(deaf, [[108, U32(1)]]);
});

test('goes on identically after save and load, at every step', () => {
  const steps = ['waiting', 'selecting', 'requesting', 'bound', 'renewing', 'rebinding'];
  const until = [0, S, S, 2 * S, 1900 * S, 3200 * S];
  for (let i = 0; i < steps.length; i++) {
    const a = setup({}, 7);
    const b = setup({}, 7);
    a.client.start();
    if (i > 0) run(a.shared, a.client, S);
    if (i > 1) a.give(reply(a.take()[0]!, MessageType.Offer));
    if (i > 2) a.give(reply(a.take()[0]!, MessageType.Ack));
    run(a.shared, a.client, until[i]!);
    b.shared.nowUs = a.shared.nowUs;
    transfer(a.client, b.client);
    for (const options of a.io.opened) if (options) b.io.open(options);
    expect(saved(b.client)).toEqual(saved(a.client));
    frames(a.shared, a.output);
    a.unicasts();
    const trace = (s: typeof a) => {
      const log: unknown[] = [];
      run(s.shared, s.client, 5000 * S, () => log.push(s.shared.nowUs, s.take(), s.unicasts()));
      return log;
    };
    const expected = trace(a);
    expect(expected.length).toBeGreaterThan(3);
    expect(trace(b), steps[i]).toEqual(expected);
  }
});

test('random and damaged frames never throw, and never bind', () => {
  const s = setup();
  s.client.start();
  run(s.shared, s.client, S);
  const offer = reply(s.take()[0]!, MessageType.Offer);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(400), (noise, cut) => {
      s.shared.bytes.set(noise, s.area + AT);
      s.client.receiveFrame(2, s.area + AT, noise.length);
      const damaged = offer.slice(0, Math.max(0, offer.length - cut));
      damaged.set(noise.subarray(0, Math.max(0, damaged.length - 240)), Math.min(240, damaged.length));
      s.give(damaged);
      expect(s.client.state).not.toBe(Dhcp4State.Bound);
    }),
  );
});
