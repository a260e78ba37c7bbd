import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ADVERTISEMENT } from '../../stack/autoconf/advertisement.ts';
import { formatAddress } from '../../stack/stack.ts';
import { viewOf } from '../../wire/bytes.ts';
import * as dhcp6 from '../../wire/dhcp6.ts';
import { type Answer6, answers6, ETH, frame6, GATEWAY_MAC, Gate, ip, macOf, Net, optionsOf, S, T } from './kit.ts';

const { MessageType, Option, Status } = dhcp6;
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const SERVER = dhcp6.duidOf(GATEWAY_MAC);

const bytes16 = (text: string): number[] => {
  const view = new DataView(new ArrayBuffer(16));
  for (let i = 0; i < 4; i++) view.setInt32(4 * i, ip(text)[i]!);
  return [...new Uint8Array(view.buffer)];
};

interface Ask {
  readonly n?: number;
  /** DUID of another. */
  readonly as?: number;
  readonly server?: Uint8Array | undefined;
  /** By IAID from 1. */
  readonly ias?: readonly (readonly string[])[];
  readonly options?: readonly (readonly [number, readonly number[]])[];
  readonly target?: string;
  readonly source?: string;
  readonly noId?: boolean;
}

function message(type: number, { n = 1, as = n, server, ias = [[]], options = [], noId }: Ask = {}): Uint8Array {
  const out = new dhcp6.Dhcp6Writer(type, 0xabcdef);
  if (!noId) out.option(Option.ClientId, dhcp6.duidOf(macOf(as)));
  if (server) out.option(Option.ServerId, server);
  for (const [i, addresses] of ias.entries()) {
    out.begin(Option.IaNa).u32(i + 1).u32(0).u32(0); // biome-ignore format: one line
    for (const address of addresses) out.begin(Option.IaAddress).bytes(bytes16(address)).u32(0).u32(0).end();
    out.end();
  }
  for (const [code, value] of options) out.option(code, value);
  return out.finish();
}

function send(gate: Gate, type: number, about: Ask = {}): Answer6[] {
  const { n = 1, target, source } = about;
  const at = { n, ...(target !== undefined && { target }), ...(source !== undefined && { source }) };
  return answers6(gate.give(frame6(message(type, about), at)));
}

/** A gate that knows where its first guests are. */
function newGate(changes = {}): Gate {
  const gate = new Gate(changes);
  for (let n = 1; n < 300; n++) {
    gate.stack.autoconf.neighbors.setStatic(ETH, ip(`fe80::ff:fe00:${n.toString(16)}`), macOf(n));
  }
  return gate;
}

/** SOLICIT, REQUEST; the address. */
function lease(gate: Gate, n = 1, options: Ask['options'] = []): string {
  const [offer] = send(gate, MessageType.Solicit, { n, options });
  const wanted = offer?.addresses.slice(0, 1) ?? [];
  const [reply] = send(gate, MessageType.Request, { n, server: SERVER, ias: [wanted], options });
  return reply?.addresses[0] ?? 'none';
}

describe('a new client', () => {
  test('is advertised an address and gets it, with what it asked for', () => {
    const gate = newGate();
    const options = [
      [Option.Oro, [0, 24, 0, 23]],
      [Option.Fqdn, [1, 5, ...ascii('My_PC')]],
    ] as const;
    const [offer, ...more] = send(gate, MessageType.Solicit, { options });
    expect(more).toEqual([]);
    expect([offer!.type, offer!.status, offer!.target]).toEqual([MessageType.Advertise, 0, 'fe80::ff:fe00:1']);
    expect(offer!.codes).toEqual([1, 2, 7, 3, 24, 23]);
    expect([...offer!.value(7)!]).toEqual([255]);
    const [address] = offer!.addresses;
    expect(address).toMatch(/^fd00::1:/);
    const [reply] = send(gate, MessageType.Request, { server: SERVER, ias: [[address!]], options });
    expect([reply!.type, reply!.addresses]).toEqual([MessageType.Reply, [address]]);
    expect(reply!.codes).toEqual([1, 2, 3, 39, 24, 23]);
    expect(reply!.ias[0]).toMatchObject({ iaid: 1, t1S: 1800, t2S: 2880, status: 0 });
    expect(reply!.ias[0]!.addresses[0]).toMatchObject({ preferredS: 3600, validS: 3600 });
    expect(dhcp6.namesOf(reply!.value(24)!, 9)).toEqual(['weft.test', 'lab.weft.test']);
    expect([...reply!.value(23)!]).toEqual(bytes16('fd00::3'));
    expect(dhcp6.readFqdn(reply!.value(39)!)).toEqual({ flags: 1, name: 'my-pc.weft.test' });
    const [one] = gate.service.leases.list();
    expect([one!.name, one!.mac, one!.where]).toEqual(['my-pc', '02:00:00:00:00:01', 'fe80::ff:fe00:1']);
  });

  test('gets it in two messages if it can, and one for each identity', () => {
    const gate = newGate();
    const ias = [['fd00::1:77'], []];
    const [reply] = send(gate, MessageType.Solicit, { ias, options: [[Option.RapidCommit, []]] });
    expect(reply!.type).toBe(MessageType.Reply);
    expect(reply!.codes).toContain(Option.RapidCommit);
    expect(reply!.addresses[0]).toBe('fd00::1:77');
    expect(reply!.ias.map((ia) => ia.iaid)).toEqual([1, 2]);
    expect(gate.service.leases.list().map((one) => one.state)).toEqual(['bound', 'bound']);
  });

  test('gets no prefix and no temporary address, and is told so', () => {
    const gate = newGate();
    const options = [
      [Option.IaPd, [0, 0, 0, 9, ...new Uint8Array(8)]],
      [Option.IaTa, [0, 0, 0, 8]],
    ] as const;
    const [offer] = send(gate, MessageType.Solicit, { options });
    expect(offer!.addresses).toHaveLength(1);
    const statusIn = (code: number, skip: number): number => viewOf(offer!.value(code)!).getUint16(skip + 4);
    expect(statusIn(Option.IaPd, 12)).toBe(Status.NoPrefixAvail);
    expect(statusIn(Option.IaTa, 4)).toBe(Status.NoAddrsAvail);
  });

  test('is told when there is no address left', () => {
    const gate = newGate({ pool6: { first: ip('fd00::1:0'), count: 2, bits: 64 } });
    expect([1, 2].map((n) => lease(gate, n)).sort()).toEqual(['fd00::1:0', 'fd00::1:1']);
    const [offer] = send(gate, MessageType.Solicit, { n: 3 });
    expect([offer!.type, offer!.ias[0]!.status]).toEqual([MessageType.Advertise, Status.NoAddrsAvail]);
    const [reply] = send(gate, MessageType.Request, { n: 3, server: SERVER });
    expect(reply!.ias[0]!.status).toBe(Status.NoAddrsAvail);
    expect(gate.service.leases.counters.exhausted).toBe(2);
    expect(gate.service.counters.refused6).toBe(2);
    gate.wait(3600);
    expect(lease(gate, 3)).not.toBe('none');
  });

  test('is told that what it requests is not of this network', () => {
    const gate = newGate();
    const [reply] = send(gate, MessageType.Request, { server: SERVER, ias: [['2001:db8::1']] });
    expect([reply!.ias[0]!.status, reply!.addresses]).toEqual([Status.NotOnLink, []]);
  });
});

describe('a client that had an address', () => {
  test('renews and rebinds it', () => {
    const gate = newGate();
    const address = lease(gate);
    gate.wait(1800);
    const [renewed] = send(gate, MessageType.Renew, { server: SERVER, ias: [[address]] });
    expect(renewed!.addresses).toEqual([address]);
    expect(gate.service.leases.list()[0]!.untilS).toBe(gate.nowS + 3600);
    const [rebound] = send(gate, MessageType.Rebind, { ias: [[address]] });
    expect(rebound!.addresses).toEqual([address]);
    expect(gate.service.leases.counters.renewed).toBe(2);
  });

  test('keeps it when the gateway was restarted, also without its file', () => {
    const gate = newGate();
    const address = lease(gate);
    expect(gate.restart()).toBe('');
    expect(send(gate, MessageType.Renew, { server: SERVER, ias: [[address]] })[0]!.addresses).toEqual([address]);
    gate.restart('');
    expect(send(gate, MessageType.Renew, { server: SERVER, ias: [[address]] })[0]!.addresses).toEqual([address]);
  });

  test('gets another and the end of the former, where that cannot be had', () => {
    const gate = newGate();
    const other = lease(gate, 1);
    const [reply] = send(gate, MessageType.Rebind, { n: 2, ias: [[other, '2001:db8::1']] });
    expect(reply!.ended).toEqual([other, '2001:db8::1']);
    expect(reply!.addresses).toHaveLength(1);
    expect(reply!.addresses[0]).not.toBe(other);
  });

  test('asks after a move whether it is right here', () => {
    const gate = newGate();
    expect(send(gate, MessageType.Confirm, { ias: [['fd00::1234']] })[0]!.status).toBe(Status.Success);
    expect(send(gate, MessageType.Confirm, { ias: [['fd01::1']] })[0]!.status).toBe(Status.NotOnLink);
    expect(send(gate, MessageType.Confirm)).toEqual([]);
  });

  test('gives it back, or says that another has it', () => {
    const gate = newGate();
    const address = lease(gate);
    const [released] = send(gate, MessageType.Release, { server: SERVER, ias: [[address]] });
    expect([released!.status, released!.ias]).toEqual([Status.Success, []]);
    expect(gate.service.leases.list()[0]!.state).toBe('expired');
    expect(lease(gate)).toBe(address);
    const [declined] = send(gate, MessageType.Decline, { server: SERVER, ias: [[address]] });
    expect(declined!.status).toBe(Status.Success);
    expect(lease(gate)).not.toBe(address);
    const [unknown] = send(gate, MessageType.Release, { n: 9, server: SERVER, ias: [[address]] });
    expect(unknown!.ias[0]!.status).toBe(Status.NoBinding);
  });
});

describe('who lies', () => {
  test('with another’s DUID or address gets nothing of it', () => {
    const gate = newGate();
    const address = lease(gate, 1);
    const [same] = send(gate, MessageType.Solicit, { n: 2, as: 1, ias: [[address]] });
    expect(same!.addresses[0]).not.toBe(address);
    const [released] = send(gate, MessageType.Release, { n: 2, as: 1, server: SERVER, ias: [[address]] });
    expect(released!.ias[0]!.status).toBe(Status.NoBinding);
    const [renewed] = send(gate, MessageType.Renew, { n: 3, server: SERVER, ias: [[address]] });
    expect(renewed!.ended).toEqual([address]);
    expect(send(gate, MessageType.Renew, { n: 1, server: SERVER, ias: [[address]] })[0]!.addresses).toEqual([address]);
  });

  test('is not heard from beyond the link, for another server, or in a form that the section forbids', () => {
    const gate = newGate();
    const other = dhcp6.duidOf(macOf(77));
    const { Solicit, Request, Renew, Confirm, InformationRequest, Reply } = MessageType;
    expect(send(gate, Solicit, { source: 'fd00::99' })).toEqual([]);
    expect(send(gate, Request, { server: other })).toEqual([]);
    expect(send(gate, Solicit, { target: 'fe80::2' })).toEqual([]);
    expect(send(gate, Reply)).toEqual([]);
    expect(send(gate, 12)).toEqual([]); // a relay's
    expect(gate.service.counters.notForUs).toBe(5);
    expect(send(gate, Solicit, { noId: true })).toEqual([]);
    expect(send(gate, Solicit, { server: SERVER })).toEqual([]);
    expect(send(gate, Request)).toEqual([]);
    expect(send(gate, Confirm, { server: SERVER })).toEqual([]);
    expect(send(gate, InformationRequest)).toEqual([]); // with an IA
    expect(gate.service.counters.malformed).toBe(5);
    expect(gate.service.leases.list()).toEqual([]);
    const [unicast] = send(gate, Renew, { server: SERVER, target: 'fe80::2' });
    expect([unicast!.status, unicast!.ias]).toEqual([Status.UseMulticast, []]);
  });

  test('with a thousand identities at one place gets eight addresses', () => {
    const gate = newGate();
    const ias = Array.from({ length: 8 }, () => []);
    for (let as = 1; as < 125; as++) send(gate, MessageType.Solicit, { n: 1, as, ias, options: [[14, []]] });
    expect(gate.service.leases.list()).toHaveLength(8);
    expect(lease(gate, 2)).not.toBe('none');
  });
});

describe('other configuration', () => {
  const ip6 = {
    dns: [ip('fd00::3')],
    ntp: [ip('fd00::2')],
    bootUrl: 'http://[fd00::2]/boot.efi',
    bootParameters: ['a', 'bc'],
  };

  test('is told to who asks for it only, also where no addresses are given', () => {
    const changes = { settings: { ip6 } };
    const gate = newGate(changes);
    const codes = [23, 24, 31, 32, 56, 59, 60];
    const options = [[Option.Oro, codes.flatMap((code) => [0, code])]] as const;
    const [reply] = send(gate, MessageType.InformationRequest, { ias: [], noId: true, options });
    expect(reply!.codes).toEqual([2, 32, 23, 24, 31, 56, 59, 60]);
    expect([...reply!.value(32)!]).toEqual([0, 0, 14, 16]);
    expect([...reply!.value(56)!]).toEqual([0, 1, 0, 16, ...bytes16('fd00::2')]);
    expect(new TextDecoder().decode(reply!.value(59))).toBe(ip6.bootUrl);
    expect([...reply!.value(60)!]).toEqual([0, 1, 97, 0, 2, 98, 99]);
    expect(gate.service.wantsManaged).toEqual({ isManaged: true, hasOther: true });
  });

  test('without a pool is all there is', () => {
    const { pool6: _, ...rest } = optionsOf(() => T);
    const gate = newGate();
    gate.service.close();
    gate.service = new (gate.service.constructor as typeof import('../../service/service.ts').DhcpService)(
      gate.stack,
      ETH,
      rest,
    );
    expect(send(gate, MessageType.Solicit)).toEqual([]);
    expect(send(gate, MessageType.InformationRequest, { ias: [] })[0]!.codes).toEqual([1, 2, 23, 24]);
    expect(gate.service.wantsManaged).toEqual({ isManaged: false, hasOther: true });
  });

  test('UEFI that boots over HTTP is told that it may', () => {
    const gate = newGate({ settings: { ip6 } });
    const vendor = [0, 0, 1, 87, 0, 10, ...ascii('HTTPClient')];
    const options = [
      [Option.VendorClass, vendor],
      [Option.Oro, [0, 59]],
    ] as const;
    const [offer] = send(gate, MessageType.Solicit, { options });
    expect([...offer!.value(16)!]).toEqual(vendor);
    expect(offer!.codes).toContain(59);
  });

  test('a client that wants no name known has none', () => {
    const gate = newGate();
    lease(gate, 1, [[Option.Fqdn, [4, 3, 97, 98, 99]]]);
    expect(gate.service.leases.list()[0]!.name).toBe('');
  });
});

test('no message makes it throw, grow or change another’s lease', () => {
  const gate = newGate();
  const mine = lease(gate, 1);
  const options = [
    [Option.Oro, [0, 23, 0, 24]],
    [Option.Fqdn, [1, 3, 97, 98, 99]],
  ] as const;
  const seeds = [
    message(MessageType.Solicit, { n: 2, options }),
    message(MessageType.Request, { n: 2, server: SERVER, ias: [[mine], ['fd00::9']], options }),
    message(MessageType.Rebind, { n: 2, ias: [[mine]] }),
    message(MessageType.Release, { n: 2, as: 1, server: SERVER, ias: [[mine]] }),
    message(MessageType.InformationRequest, { n: 2, ias: [], options }),
  ];
  const change = fc.record({ at: fc.nat(160), value: fc.nat(255) });
  let before = 0;
  let runs = 0;
  fc.assert(
    fc.property(fc.nat(seeds.length - 1), fc.array(change, { maxLength: 6 }), fc.nat(200), (which, changes, cut) => {
      const bytes = seeds[which]!.slice(0, Math.max(1, cut));
      for (const { at, value } of changes) if (at < bytes.length) bytes[at] = value;
      gate.give(frame6(bytes, { n: 2 }));
      gate.give(frame6(Uint8Array.from(changes, ({ value }) => value)));
      if (++runs === 100) before = gate.slab.usedBytes;
    }),
    { seed: 3, numRuns: 5000 },
  );
  expect(gate.slab.usedBytes).toBe(before);
  expect(gate.service.leases.list().length).toBeLessThanOrEqual(20);
  expect(send(gate, MessageType.Renew, { n: 1, server: SERVER, ias: [[mine]] })[0]!.addresses).toEqual([mine]);
  const { malformed, requests6, replies6 } = gate.service.counters;
  expect(Math.min(malformed, requests6, replies6)).toBeGreaterThan(300);
});

describe('in a network', () => {
  test('stacks of ours get an address each when the router says so, and keep it over restarts', () => {
    const net = new Net(12);
    const all = net.guests.map((_, n) => n);
    const { isManaged, hasOther } = net.service.wantsManaged;
    const wrong = net.gateway.autoconf.advertise(ETH, { ...ADVERTISEMENT, isManaged, hasOther });
    expect(wrong).toBeUndefined();
    net.apply('eth,auto6,fqdn=guest.lab', ...all);
    expect(net.until(() => all.every((n) => net.addresses(n).length === 1), 30 * S)).toBe(true);
    const had = all.map((n) => net.addresses(n)[0]!);
    expect(new Set(had).size).toBe(12);
    expect(net.restart()).toBe('');
    net.run(2000 * S);
    expect(all.map((n) => net.addresses(n)[0]!)).toEqual(had);
    net.restart('');
    net.run(2000 * S);
    expect(all.map((n) => net.addresses(n)[0]!)).toEqual(had);
    const list = net.service.leases.list();
    expect(list.map((one) => `${formatAddress(one.address)}/128`).sort()).toEqual([...had].sort());
    expect(new Set(list.map((one) => one.name)).size).toBe(12);
    expect(list.map((one) => one.name)).toContain('guest-12');
  });

  test('both families of a guest have one name', () => {
    const names = new Map<string, string>();
    const published = {
      set: (name: string, address: Int32Array) => void names.set(formatAddress(address), name),
      remove: (address: Int32Array) => void names.delete(formatAddress(address)),
    };
    const net = new Net(2, { names: published });
    net.apply('eth,dhcp,dhcp6,fqdn=twin.lab', 0, 1);
    expect(net.until(() => [0, 1].every((n) => net.addresses(n).length === 2), 60 * S)).toBe(true);
    const of = (n: number): (string | undefined)[] => net.addresses(n).map((text) => names.get(text.split('/')[0]!));
    expect([of(0), of(1)].sort()).toEqual([
      ['twin', 'twin'],
      ['twin-2', 'twin-2'],
    ]);
    net.apply('-dhcp,-dhcp6', 0, 1);
    net.run(10 * S);
    expect(names.size).toBe(0);
  });

  test('a program of the engine has what DHCP would give it, and a client in it gets the same', () => {
    const net = new Net(1);
    const allotted = net.service.allot('02:00:00:00:00:01', 'Web')!;
    const addresses = allotted.addresses.map(({ address, bits }) => `${formatAddress(address)}/${bits}`);
    expect(allotted).toMatchObject({ name: 'web', domain: 'weft.test', search: ['weft.test', 'lab.weft.test'] });
    expect(allotted.mtuBytes).toBe(1400);
    expect([allotted.gateway!, ...allotted.dns].map(formatAddress)).toEqual(['10.0.2.2', '10.0.2.3', 'fd00::3']);
    net.apply('eth,dhcp', 0);
    net.until(() => net.addresses(0).length === 1, 20 * S);
    net.run(10_000 * S);
    expect(net.addresses(0)).toEqual([addresses[0]]);
    net.service.giveBack('02:00:00:00:00:01');
    expect(net.service.leases.list().map((one) => one.state)).toEqual(['expired', 'expired']);
    expect(net.service.allot('02:00:00:00:00:01', 'Web')!.addresses.map((one) => formatAddress(one.address))).toEqual(
      addresses.map((text) => text.split('/')[0]),
    );
  });
  test('a program that chose its addresses has them, all of them, if nobody else has', () => {
    const net = new Net(1);
    const { service } = net;
    const chosen = ['10.0.2.20', '10.0.2.21', 'fd00::1:7', '10.0.2.200', '192.168.0.1', 'fd00::77'].map(ip);
    expect(chosen.map((address) => service.occupy('02:00:00:00:00:01', 'web', address))).toEqual(
      chosen.map(() => true),
    );
    expect(service.leases.list().map((one) => formatAddress(one.address))).toEqual([
      '10.0.2.20',
      '10.0.2.21',
      '10.0.2.200',
      'fd00::1:7',
    ]);
    expect(service.occupy('02:00:00:00:00:99', 'thief', ip('10.0.2.20'))).toBe(false);
    net.apply('eth,dhcp', 0); // a client in it
    net.run(10_000 * S);
    expect(chosen.map(formatAddress)).toContain(net.addresses(0)[0]!.split('/')[0]);
    expect(new Set(service.leases.list().map((one) => one.name))).toEqual(new Set(['web']));
    service.giveBack('02:00:00:00:00:01');
    expect(new Set(service.leases.list().map((one) => one.state))).toEqual(new Set(['expired']));
  });
});
