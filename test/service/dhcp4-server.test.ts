import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../core/assert.ts';
import { DhcpService } from '../../service/service.ts';
import { namesOf } from '../../stack/config/domain-list.ts';
import { formatAddress } from '../../stack/stack.ts';
import { viewOf } from '../../wire/bytes.ts';
import * as dhcp4 from '../../wire/dhcp4.ts';
import { type Answer, answers4, ETH, frame4, Gate, ip, macOf, Net, number4, optionsOf, S, T, text4 } from './kit.ts';

const { MessageType, Option } = dhcp4;
const U32 = dhcp4.bytes4;
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const addr = (text: string): Uint8Array => U32(number4(text));
type Options = [number, Uint8Array][];

interface Ask {
  readonly n?: number;
  readonly ciaddr?: string;
  readonly giaddr?: string;
  readonly flags?: number;
  readonly op?: number;
}

/** A client's message. */
function ask(type: number, options: Options = [], { n = 1, ciaddr, giaddr, flags = 0, op = 1 }: Ask = {}): Uint8Array {
  const fields = { op, xid: 0x1234, secs: 0, flags, yiaddr: 0, siaddr: 0, mac: macOf(n) };
  const addresses = { ciaddr: ciaddr ? number4(ciaddr) : 0, giaddr: giaddr ? number4(giaddr) : 0 };
  return dhcp4.buildMessage({ ...fields, ...addresses }, [[53, Uint8Array.of(type)], ...options]);
}

function send(gate: Gate, type: number, options: Options = [], about: Ask = {}): Answer[] {
  return answers4(gate.give(frame4(ask(type, options, about), { mac: macOf(about.n ?? 1) })));
}

const OURS: [number, Uint8Array] = [Option.ServerId, addr('10.0.2.2')];

/** DISCOVER, REQUEST; the address. */
function lease(gate: Gate, n = 1, options: Options = []): string {
  const [offer] = send(gate, MessageType.Discover, options, { n });
  if (!offer) return 'none';
  const [ack] = send(gate, MessageType.Request, [OURS, [50, addr(offer.yiaddr)], ...options], { n });
  return ack?.type === MessageType.Ack ? ack.yiaddr : 'none';
}

const PRL = (...codes: number[]): [number, Uint8Array] => [Option.ParameterList, Uint8Array.from(codes)];
const codesOf = (answer: Answer): number[] => [...answer.options.keys()];

describe('a new client', () => {
  test('is offered an address and gets it, with what it asked for in the order in which it asked', () => {
    const gate = new Gate();
    const wanted = PRL(3, 1, 6, 119, 15, 26, 28, 12, 99);
    const [offer, ...more] = send(gate, MessageType.Discover, [wanted, [12, ascii('My PC')]]);
    expect(more).toEqual([]);
    expect(offer!.type).toBe(MessageType.Offer);
    expect(offer!.yiaddr).toMatch(/^10\.0\.2\./);
    expect(codesOf(offer!)).toEqual([53, 54, 51, 58, 59, 3, 1, 6, 119, 15, 26, 28]);
    const [ack] = send(gate, MessageType.Request, [OURS, [50, addr(offer!.yiaddr)], wanted, [12, ascii('My PC')]]);
    expect(ack!.type).toBe(MessageType.Ack);
    expect(ack!.yiaddr).toBe(offer!.yiaddr);
    expect(codesOf(ack!)).toEqual([53, 54, 51, 58, 59, 3, 1, 6, 119, 15, 26, 28, 12]);
    const numbers = [54, 51, 58, 59, 1, 3, 6, 28].map((code) => dhcp4.numberOf(ack!.options.get(code), 4)!);
    expect(numbers.slice(1, 4)).toEqual([3600, 1800, 3150]);
    expect([numbers[0]!, ...numbers.slice(4)].map(text4)).toEqual([
      '10.0.2.2',
      '255.255.255.0',
      '10.0.2.2',
      '10.0.2.3',
      '10.0.2.255',
    ]);
    expect(ack!.text(15)).toBe('weft.test');
    expect(ack!.text(12)).toBe('my-pc');
    expect(dhcp4.numberOf(ack!.options.get(26), 2)).toBe(1400);
    expect(namesOf(ack!.options.get(119), 9)).toEqual(['weft.test', 'lab.weft.test']);
    expect(ack!.options.get(119)).toHaveLength(11 + 6); // lab and a pointer
    expect(gate.service.counters.requests4).toBe(2);
    expect(gate.service.counters.replies4).toBe(2);
  });

  test('is answered at its hardware address and the address that it gets, or by broadcast if it says so', () => {
    const gate = new Gate();
    const [offer] = send(gate, MessageType.Discover);
    expect([offer!.mac, offer!.target]).toEqual(['02:00:00:00:00:01', offer!.yiaddr]);
    expect(offer!.ports).toEqual([67, 68]);
    const [loud] = send(gate, MessageType.Discover, [], { n: 2, flags: dhcp4.BROADCAST });
    expect([loud!.mac, loud!.target]).toEqual(['ff:ff:ff:ff:ff:ff', '255.255.255.255']);
    expect(dhcp4.flags(viewOf(loud!.message), 0)).toBe(dhcp4.BROADCAST);
  });

  test('gets what it wishes if that is free, two messages if it can, and its identifier back', () => {
    const gate = new Gate();
    const id = Uint8Array.of(255, 1, 2, 3, 4);
    const options: Options = [
      [50, addr('10.0.2.77')],
      [80, new Uint8Array(0)],
      [61, id],
    ];
    const [ack] = send(gate, MessageType.Discover, options);
    expect([ack!.type, ack!.yiaddr]).toEqual([MessageType.Ack, '10.0.2.77']);
    expect(ack!.options.get(80)).toHaveLength(0);
    expect(ack!.options.get(61)).toEqual(id);
    expect(gate.service.leases.list()[0]!.client).toBe('ff01020304');
  });

  test('with an identifier that is its MAC address is the one without', () => {
    const gate = new Gate();
    expect(lease(gate, 1)).toBe(lease(gate, 1, [[61, Uint8Array.of(1, 2, 0, 0, 0, 0, 1)]]));
  });
});

describe('a client that had an address', () => {
  test('renews by unicast, rebinds by broadcast, and its lease begins anew', () => {
    const gate = new Gate();
    const address = lease(gate);
    gate.wait(1800);
    const about = { mac: macOf(1), to: 'gateway', source: number4(address), target: number4('10.0.2.2') };
    const [ack] = answers4(gate.give(frame4(ask(MessageType.Request, [], { ciaddr: address }), about)));
    expect([ack!.type, ack!.yiaddr, ack!.target]).toEqual([MessageType.Ack, address, address]);
    expect(gate.service.leases.list()[0]!.untilS).toBe(gate.nowS + 3600);
    gate.wait(3200);
    const [again] = send(gate, MessageType.Request, [], { ciaddr: address });
    expect([again!.type, again!.target, again!.mac]).toEqual([MessageType.Ack, address, '02:00:00:00:00:01']);
    expect(gate.service.leases.counters.renewed).toBe(2);
  });

  test('comes back after a reboot: to what it had, also if the gateway forgot, not to another’s or another network’s', () => {
    const gate = new Gate();
    const address = lease(gate);
    expect(send(gate, MessageType.Request, [[50, addr(address)]])[0]!.type).toBe(MessageType.Ack);
    expect(gate.restart('')).toMatch(/damaged/);
    const [forgot] = send(gate, MessageType.Request, [[50, addr(address)]]);
    expect([forgot!.type, forgot!.yiaddr]).toEqual([MessageType.Ack, address]);
    const [foreign] = send(gate, MessageType.Request, [[50, addr(address)]], { n: 2 });
    expect([foreign!.type, foreign!.yiaddr]).toEqual([MessageType.Nak, '0.0.0.0']);
    const [away] = send(gate, MessageType.Request, [[50, addr('192.168.1.7')]], { n: 3 });
    expect([away!.type, away!.mac, away!.target]).toEqual([MessageType.Nak, 'ff:ff:ff:ff:ff:ff', '255.255.255.255']);
    expect(away!.text(56)).toBe('not an address of this network');
    expect(codesOf(away!)).toEqual([53, 54, 56]);
  });

  test('keeps it over a restart of the gateway', () => {
    const gate = new Gate();
    const had = [1, 2, 3].map((n) => lease(gate, n));
    expect(gate.restart()).toBe('');
    expect(lease(gate, 4)).not.toBe('none');
    const got = [1, 2, 3].map((n) => send(gate, MessageType.Request, [], { n, ciaddr: had[n - 1]! })[0]);
    expect(got.map((ack) => ack!.yiaddr)).toEqual(had);
  });

  test('is one of a hundred that do so at a time, and each has its own', () => {
    const gate = new Gate();
    const all = Array.from({ length: 100 }, (_, n) => n + 1);
    const offers = all.map((n) => send(gate, MessageType.Discover, [], { n })[0]!.yiaddr);
    const acks = all.map((n, i) => send(gate, MessageType.Request, [OURS, [50, addr(offers[i]!)]], { n })[0]!.yiaddr);
    expect(acks).toEqual(offers);
    expect(new Set(acks).size).toBe(100);
    gate.restart();
    expect(all.map((n, i) => send(gate, MessageType.Request, [[50, addr(acks[i]!)]], { n })[0]!.type)).toEqual(
      all.map(() => MessageType.Ack),
    );
  });

  test('and is not heard of any more has it until the lease runs out', () => {
    const gate = new Gate();
    lease(gate);
    gate.wait(3599);
    expect(gate.service.leases.list()[0]!.state).toBe('bound');
    gate.wait(1); // by the stack's own deadline
    expect(gate.service.leases.list()[0]!.state).toBe('expired');
    expect(gate.service.deadlineUs()).toBe(Infinity);
  });

  test('gives it back, or says that another has it', () => {
    const gate = new Gate();
    const address = lease(gate);
    expect(send(gate, MessageType.Release, [OURS], { ciaddr: address })).toEqual([]);
    expect(gate.service.leases.list()[0]!.state).toBe('expired');
    expect(lease(gate)).toBe(address);
    expect(send(gate, MessageType.Decline, [OURS, [50, addr(address)]])).toEqual([]);
    expect(gate.service.leases.list()[0]!.state).toBe('declined');
    expect(lease(gate)).not.toBe(address);
  });

  test('of its own asks for the rest only', () => {
    const gate = new Gate();
    const [ack] = send(gate, MessageType.Inform, [PRL(6, 51)], { ciaddr: '10.0.2.9' });
    expect([ack!.type, ack!.yiaddr, ack!.target]).toEqual([MessageType.Ack, '0.0.0.0', '10.0.2.9']);
    expect(codesOf(ack!)).toEqual([53, 54, 6, 1]);
    expect(send(gate, MessageType.Inform, [], { ciaddr: '192.168.0.1' })).toEqual([]);
    expect(gate.service.leases.list()).toEqual([]);
  });
});

describe('who lies', () => {
  test('gets, renews, releases and declines nothing of another’s', () => {
    const gate = new Gate();
    const address = lease(gate, 1);
    const thief = { n: 2, ciaddr: address };
    expect(send(gate, MessageType.Request, [], thief)[0]!.type).toBe(MessageType.Nak);
    expect(send(gate, MessageType.Request, [OURS, [50, addr(address)]], { n: 2 })[0]!.type).toBe(MessageType.Nak);
    const id: [number, Uint8Array] = [61, Uint8Array.of(1, 2, 0, 0, 0, 0, 1)];
    expect(send(gate, MessageType.Request, [[50, addr(address)], id], { n: 2 })[0]!.type).toBe(MessageType.Nak);
    send(gate, MessageType.Release, [OURS], thief);
    send(gate, MessageType.Decline, [OURS, [50, addr(address)], id], { n: 2 });
    expect(gate.service.leases.list().map((one) => `${one.where} ${one.state}`)).toEqual(['02:00:00:00:00:01 bound']);
    expect(send(gate, MessageType.Request, [], { n: 1, ciaddr: address })[0]!.type).toBe(MessageType.Ack);
  });

  test('is not heard as a server, a group, a relay from elsewhere, or for another server', () => {
    const gate = new Gate();
    expect(send(gate, MessageType.Discover, [], { op: 2 })).toEqual([]);
    const group = ask(MessageType.Discover);
    group[28] = 1;
    expect(answers4(gate.give(frame4(group)))).toEqual([]);
    expect(gate.service.counters.malformed).toBe(2);
    expect(send(gate, MessageType.Discover, [], { giaddr: '172.16.0.1' })).toEqual([]);
    expect(
      send(gate, MessageType.Request, [
        [54, addr('10.0.2.99')],
        [50, addr('10.0.2.20')],
      ]),
    ).toEqual([]);
    expect(send(gate, 77)).toEqual([]);
    expect(gate.service.counters.notForUs).toBe(3);
    expect(gate.service.leases.list()).toEqual([]);
  });

  test('with ten thousand MAC addresses takes no lease from those who have one, and the table has its bound', () => {
    const gate = new Gate();
    const mine = lease(gate, 1);
    for (let n = 2; n < 10_000; n++) send(gate, MessageType.Discover, [], { n });
    expect(gate.service.leases.list()).toHaveLength(240);
    expect(gate.service.counters.silent).toBe(10_000 - 2 - 239);
    expect(send(gate, MessageType.Request, [], { ciaddr: mine })[0]!.type).toBe(MessageType.Ack);
    gate.wait(31);
    expect(lease(gate, 20_000)).not.toBe('none');
  });
});

describe('options', () => {
  const settings = (ip4: object) => ({ settings: { ip4: { ...optionsOf(() => T).settings.ip4!, ...ip4 } } });

  test('without a list are the usual ones', () => {
    const [offer] = send(new Gate(), MessageType.Discover);
    expect(codesOf(offer!)).toEqual([53, 54, 51, 58, 59, 1, 3, 6, 15, 28]);
  });

  test('routes are with the default one among them, cut as RFC 3442 says', () => {
    const routes = [{ prefix: number4('10.9.0.0'), bits: 12, gateway: number4('10.0.2.9') }];
    const [offer] = send(new Gate(settings({ routes })), MessageType.Discover, [PRL(121)]);
    expect([...offer!.options.get(121)!]).toEqual([12, 10, 9, 10, 0, 2, 9, 0, 10, 0, 2, 2]);
    expect(dhcp4.routesOf(offer!.options.get(121)!, 9)).toHaveLength(2);
    expect(send(new Gate(), MessageType.Discover, [PRL(121)])[0]!.options.has(121)).toBe(false);
  });

  test('time servers, and nothing about a router where there is none', () => {
    const { gateway: _, ...rest } = optionsOf(() => T).settings.ip4!;
    const gate = new Gate({ settings: { ip4: { ...rest, ntp: [ip('10.0.2.2')] } } });
    expect(codesOf(send(gate, MessageType.Discover, [PRL(42, 3)])[0]!)).toEqual([53, 54, 51, 58, 59, 42, 1]);
  });

  test.each([
    ['in ASCII', Uint8Array.from([0, 0, 0, ...ascii('Guest.example')]), [3, 255, 255, ...ascii('guest.weft.test')]],
    [
      'in labels, with the update left to the server',
      Uint8Array.from([5, 0, 0, 5, ...ascii('guest')]),
      [5, 255, 255, 5, ...ascii('guest'), 4, ...ascii('weft'), 4, ...ascii('test'), 0],
    ],
  ])('a full name %s is answered with the one that it gets', (_, value, answered) => {
    const gate = new Gate();
    const options: Options = [
      [81, value],
      [80, new Uint8Array(0)],
    ];
    const [ack] = send(gate, MessageType.Discover, options);
    expect([...ack!.options.get(81)!]).toEqual(answered);
    expect(gate.service.leases.list()[0]!.name).toBe('guest');
  });

  test('a client that wants no name known has none', () => {
    const gate = new Gate();
    const fqdn = Uint8Array.from([8, 0, 0, ...ascii('secret')]);
    send(gate, MessageType.Discover, [[81, fqdn], [80, new Uint8Array(0)]]); // biome-ignore format: one line
    expect(gate.service.leases.list()[0]!.name).toBe('');
  });

  test('boot files are given to who can load them', () => {
    const url = 'http://10.0.2.2/boot.ipxe';
    const gate = new Gate(settings({ boot: { file: url } }));
    const pxe: [number, Uint8Array] = [60, ascii('PXEClient:Arch:00000')];
    const http: [number, Uint8Array] = [60, ascii('HTTPClient:Arch:00016')];
    const [plain] = send(gate, MessageType.Discover, [PRL(67)]);
    expect([plain!.file, plain!.text(67), plain!.siaddr]).toEqual([url, url, '0.0.0.0']);
    const [rom] = send(gate, MessageType.Discover, [PRL(67), pxe], { n: 2 });
    expect([rom!.file, rom!.options.has(67)]).toEqual(['', false]);
    const [ipxe] = send(gate, MessageType.Discover, [PRL(67), pxe, [77, ascii('iPXE')]], { n: 3 });
    expect(ipxe!.text(67)).toBe(url);
    const [uefi] = send(gate, MessageType.Discover, [PRL(67), http], { n: 4 });
    expect([uefi!.text(60), uefi!.text(67)]).toEqual(['HTTPClient', url]);
    const tftp = new Gate(settings({ boot: { file: 'pxe.0', server: ip('10.0.2.9'), serverName: 'files' } }));
    const [old] = send(tftp, MessageType.Discover, [PRL(66, 67), pxe]);
    expect([old!.file, old!.text(67), old!.text(66), old!.siaddr]).toEqual(['pxe.0', 'pxe.0', 'files', '10.0.2.9']);
    expect(send(tftp, MessageType.Discover, [PRL(67), http])[0]!.file).toBe('');
  });

  test('that do not fit are left out, the others are not', () => {
    const search = Array.from({ length: 40 }, (_, i) => `a-rather-long-domain-${i}.number${i}.test`);
    const gate = new Gate({ settings: { search } });
    const [small] = send(gate, MessageType.Discover, [PRL(119, 6, 15)]);
    expect(small!.message.length).toBeLessThanOrEqual(548);
    expect(codesOf(small!)).toEqual([53, 54, 51, 58, 59, 6, 15, 1]);
    const [large] = send(gate, MessageType.Discover, [PRL(119, 6, 15), [57, Uint8Array.of(16, 0)]]);
    expect(large!.options.has(119)).toBe(false); // 1,500 bytes hold it not either
    const less = new Gate({ settings: { search: search.slice(0, 15) } });
    expect(send(less, MessageType.Discover, [PRL(119)])[0]!.options.has(119)).toBe(false);
    const [fits] = send(less, MessageType.Discover, [PRL(119), [57, Uint8Array.of(5, 220)]]);
    expect(namesOf(fits!.options.get(119), 99)).toEqual(search.slice(0, 15));
  });

  test('are read from file and sname too', () => {
    const message = ask(MessageType.Discover, [[52, Uint8Array.of(3)]]);
    message.set([50, 4, 10, 0, 2, 88, 255], 108);
    message.set([80, 0, 255], 44);
    const [ack] = answers4(new Gate().give(frame4(message)));
    expect([ack!.type, ack!.yiaddr]).toEqual([MessageType.Ack, '10.0.2.88']);
  });

  test('a relay of the network is answered, with what it added at the end', () => {
    const gate = new Gate();
    const relay: [number, Uint8Array] = [82, Uint8Array.of(1, 2, 65, 66)];
    gate.stack.autoconf.neighbors.setStatic(ETH, ip('10.0.2.200'), macOf(200));
    const [offer] = send(gate, MessageType.Discover, [relay], { giaddr: '10.0.2.200' });
    expect([offer!.target, ...offer!.ports]).toEqual(['10.0.2.200', 67, 67]);
    expect(codesOf(offer!).at(-1)).toBe(82);
    const [nak] = send(gate, MessageType.Request, [relay, [50, addr('10.9.9.9')]], { giaddr: '10.0.2.200' });
    expect([nak!.type, dhcp4.flags(viewOf(nak!.message), 0)]).toEqual([MessageType.Nak, dhcp4.BROADCAST]);
    expect(send(gate, MessageType.Discover, [relay], { n: 3 })[0]!.options.has(82)).toBe(false);
  });
});

describe('BOOTP', () => {
  test('gets an address for a day, in 300 bytes, with options if it knows them', () => {
    const gate = new Gate({ settings: { search: [] } });
    const fields = { op: 1, xid: 7, secs: 0, flags: 0, ciaddr: 0, yiaddr: 0, siaddr: 0, giaddr: 0, mac: macOf(1) };
    const [reply] = answers4(gate.give(frame4(dhcp4.buildMessage(fields, []))));
    expect(codesOf(reply!)).toEqual([1, 3, 6, 15, 28]);
    expect(reply!.message).toHaveLength(300);
    const [bare] = answers4(gate.give(frame4(dhcp4.buildMessage({ ...fields, hasOptions: false }, []))));
    expect([bare!.yiaddr, bare!.options.size]).toEqual([reply!.yiaddr, 0]);
    expect(gate.service.leases.list()[0]!.untilS).toBe(gate.nowS + 86_400);
    expect(gate.service.counters.bootp).toBe(2);
  });
});

describe('a socket', () => {
  test('that is taken is said', () => {
    const gate = new Gate();
    const make = (): DhcpService =>
      new DhcpService(
        gate.stack,
        ETH,
        optionsOf(() => T),
      );
    expect(make).toThrow(UsageError);
    expect(make).toThrow(/EADDRINUSE at UDP port 67; is there another server/);
    // What was opened before the failure is closed.
    const { ip4: _, ...rest } = optionsOf(() => T).settings;
    gate.service.close();
    gate.service = new DhcpService(gate.stack, ETH, { ...optionsOf(() => T), settings: rest });
    expect(make).toThrow(/UDP port 547/);
    gate.service.close();
    gate.service = make();
    expect(lease(gate)).not.toBe('none');
  });
});

test('no message makes it throw, grow or change another’s lease', () => {
  const gate = new Gate();
  const mine = lease(gate, 1);
  const seeds = [
    ask(MessageType.Discover, [PRL(1, 3, 6), [12, ascii('x')], [61, Uint8Array.of(255, 1, 2)]], { n: 2 }),
    ask(MessageType.Request, [OURS, [50, addr(mine)], [81, Uint8Array.from([4, 0, 0, 3, 65, 66, 67])]], { n: 3 }),
    ask(MessageType.Release, [OURS], { n: 4, ciaddr: mine }),
    ask(MessageType.Inform, [[57, Uint8Array.of(2, 64)], [60, ascii('HTTPClient')]], { n: 5, ciaddr: '10.0.2.9' }), // biome-ignore format: one line
  ];
  const change = fc.record({ at: fc.nat(320), value: fc.nat(255) });
  const slabUsed = (): number => gate.slab.usedBytes;
  let before = 0;
  let runs = 0;
  fc.assert(
    fc.property(fc.nat(seeds.length - 1), fc.array(change, { maxLength: 12 }), fc.nat(330), (which, changes, cut) => {
      const message = seeds[which]!.slice(0, Math.max(1, cut));
      for (const { at, value } of changes) if (at < message.length && (at < 28 || at > 33)) message[at] = value;
      gate.give(frame4(message, { mac: macOf(2) }));
      gate.give(frame4(Uint8Array.from(changes, ({ value }) => value)));
      if (++runs === 100) before = slabUsed();
    }),
    { seed: 3, numRuns: 5000 },
  );
  expect(slabUsed()).toBe(before);
  expect(gate.service.leases.list().length).toBeLessThanOrEqual(240);
  expect(send(gate, MessageType.Request, [], { ciaddr: mine })[0]!.type).toBe(MessageType.Ack);
  const { malformed, requests4 } = gate.service.counters;
  expect(malformed).toBeGreaterThan(1000);
  expect(requests4).toBeGreaterThan(100);
});

describe('in a network', () => {
  test('forty stacks of ours get an address each, and keep them while the servers are restarted', () => {
    const net = new Net(40);
    const all = net.guests.map((_, n) => n);
    net.apply('eth,dhcp', ...all);
    expect(net.until(() => all.every((n) => net.addresses(n).length === 1), 30 * S)).toBe(true);
    const had = all.map((n) => net.addresses(n)[0]!);
    expect(new Set(had).size).toBe(40);
    expect(net.restart()).toBe('');
    net.run(2000 * S); // renewals
    expect(all.map((n) => net.addresses(n)[0]!)).toEqual(had);
    expect(net.service.leases.counters.renewed).toBe(40);
    expect(net.service.counters.naks).toBe(0);
  });

  test('what is declined because another has it is not given again', () => {
    const net = new Net(2, {}, 1);
    net.apply('eth,dhcp', 0);
    expect(net.until(() => net.addresses(0).length === 1, 20 * S)).toBe(true);
    const first = net.addresses(0)[0]!;
    net.apply('-dhcp', 0);
    net.run(5 * S);
    expect(net.addresses(0)).toEqual([]);
    net.apply(`eth,ip=${first}`, 1); // a host that never asked
    net.run(10 * S);
    expect(net.addresses(1)).toEqual([first]);
    net.apply('eth,dhcp', 0);
    expect(net.until(() => net.addresses(0).length === 1, 60 * S)).toBe(true);
    expect(net.addresses(0)[0]).not.toBe(first);
    expect(net.service.leases.counters.declined).toBe(1);
  });

  test('a guest that renews late, after the servers lost all, keeps its address', () => {
    const net = new Net(1);
    net.apply('eth,dhcp,fqdn=late.lab', 0);
    net.until(() => net.addresses(0).length === 1, 20 * S);
    const [had] = net.addresses(0);
    net.restart('');
    net.run(1900 * S);
    expect(net.addresses(0)).toEqual([had]);
    const [one] = net.service.leases.list();
    expect([`${formatAddress(one!.address)}/24`, one!.state]).toEqual([had, 'bound']);
    expect(one!.name).toBe('late');
  });
});
