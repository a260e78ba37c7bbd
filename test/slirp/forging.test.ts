// Guests that send by what is not theirs, and the shares of those who are many.

import { describe, expect, test } from 'vitest';
import { equalAddresses, parseAddress } from '../../stack/stack.ts';
import { Crowd, type CrowdOptions, GATE_MAC, SERVER } from '../robust/gateway-crowd.ts';
import { bytesOf, ethernet, ip4, sealed } from '../robust/packets.ts';

const GUEST0 = '0a00020f'; // 10.0.2.15
const NOBODY = '0a0002c8'; // 10.0.2.200
const MAC0 = '020000000001';
const LIAR = '0200000000ee';
const SERVER_HEX = 'c0000207';
const hex = (n: number): string => n.toString(16).padStart(4, '0');
const datagram = (mac: string, from: string, port: number, body = 'lie'): Uint8Array => {
  const udp = bytesOf(hex(port), '0035', '00000000', new TextEncoder().encode(body));
  return sealed(ethernet(GATE_MAC, mac, '0800', ip4(17, from, SERVER_HEX, udp)));
};
const syn = (mac: string, from: string, port: number): Uint8Array =>
  sealed(
    ethernet(
      GATE_MAC,
      mac,
      '0800',
      ip4(6, from, SERVER_HEX, bytesOf(hex(port), '0050', '0000000100000000500203e800000000')),
    ),
  );
const ping = (mac: string, from: string, id: number): Uint8Array =>
  sealed(ethernet(GATE_MAC, mac, '0800', ip4(1, from, SERVER_HEX, bytesOf(8, 0, '0000', hex(id), '0001', '00000000'))));
const announcement = (mac: string, address: string): Uint8Array =>
  ethernet('ffffffffffff', mac, '0806', bytesOf('0001080006040001', mac, address, '000000000000', address));

function newLab(options: Partial<CrowdOptions> = {}): Crowd {
  const lab = new Crowd({ guests: 2, ...options });
  lab.serve();
  lab.run(1_000_000);
  for (const g of [0, 1]) lab.ping(g, '10.0.2.2'); // they know the gateway, and it knows them
  lab.run(10_000);
  return lab;
}

const said = (lab: Crowd): string[] => lab.outside.sent.map(({ bytes }) => new TextDecoder().decode(bytes));
const hit = (lab: Crowd, frame: Uint8Array): void => {
  lab.hit(frame);
  lab.turn();
  lab.run(10_000);
};

describe('what is sent by an address that is leased to somebody else', () => {
  const leased = parseAddress('10.0.2.200')!;
  const whoHas = (address: Int32Array): number => (equalAddresses(address, leased) ? 0x020000000099 : 0);

  test('is dropped and counted: datagrams, pings, connections', () => {
    const lab = newLab({ whoHas });
    for (const frame of [datagram(LIAR, NOBODY, 5000), ping(LIAR, NOBODY, 9), syn(LIAR, NOBODY, 5000)]) hit(lab, frame);
    expect(lab.gateway.counters.forged).toBe(3);
    expect([lab.flows(), said(lab), lab.host.peers.length]).toEqual([{}, [], 0]);
    expect(lab.gate.tcp.connections).toBe(1); // the interceptor
  });

  test('by who has it goes', () => {
    const lab = newLab({ whoHas });
    for (const make of [datagram, ping, syn]) hit(lab, make('020000000099', NOBODY, 5000));
    expect(lab.gateway.counters.forged).toBe(0);
    expect(lab.flows()).toEqual({ udp: 1, icmp: 1, tcp: 1 });
  });

  test('stays dropped, whatever the liar announces', () => {
    const lab = newLab({ whoHas });
    const { neighbors } = lab.gate.autoconf;
    hit(lab, announcement(LIAR, NOBODY));
    hit(lab, datagram(LIAR, NOBODY, 5000));
    expect([lab.gateway.counters.forged, said(lab), neighbors.lookup(2, leased)]).toEqual([1, [], -1]);
    // What is for who has it does not go to the liar, either.
    for (const [op, mac] of [
      ['0001', '020000000099'],
      ['0001', LIAR],
      ['0002', LIAR],
    ] as const)
      hit(lab, ethernet(GATE_MAC, mac, '0806', bytesOf('000108000604', op, mac, NOBODY, GATE_MAC, '0a000202')));
    expect(neighbors.macOf(neighbors.lookup(2, leased))).toBe(0x020000000099);
  });
});

describe('without leases', () => {
  test('an address is whose it is by the neighbour table', () => {
    const lab = newLab();
    lab.sendTo(0, lab.udp(0), 'mine');
    lab.run(10_000);
    for (const frame of [datagram(LIAR, GUEST0, 5000), ping(LIAR, GUEST0, 9), syn(LIAR, GUEST0, 5000)]) hit(lab, frame);
    expect(lab.gateway.counters.forged).toBe(3);
    expect(said(lab)).toEqual(['mine']);
  });

  test('nobody else sends by a mapping that stands', () => {
    const lab = newLab();
    hit(lab, datagram(MAC0, GUEST0, 5000, 'mine'));
    hit(lab, datagram(LIAR, GUEST0, 5000, 'not mine'));
    hit(lab, datagram(MAC0, GUEST0, 5000, 'mine again'));
    expect([lab.gateway.counters.forged, said(lab)]).toEqual([1, ['mine', 'mine again']]);
  });

  test('a guest with a new hardware address goes on with its mappings', () => {
    const lab = newLab();
    hit(lab, datagram(MAC0, GUEST0, 5000, 'before'));
    hit(lab, announcement('020000000077', GUEST0));
    hit(lab, datagram('020000000077', GUEST0, 5000, 'after'));
    expect([lab.gateway.counters.forged, said(lab)]).toEqual([0, ['before', 'after']]);
    expect(lab.flows()).toEqual({ udp: 1 });
  });
});

describe('who has many flows', () => {
  test('under many addresses has as many as one guest may', () => {
    const lab = newLab({ caps: { tcpPerGuest: 20, udpPerGuest: 20, echoPerGuest: 5 } });
    for (let n = 0; n < 100; n++) {
      const from = `0a0002${(100 + n).toString(16)}`;
      hit(lab, datagram(LIAR, from, 5000));
      hit(lab, ping(LIAR, from, 9));
      hit(lab, syn(LIAR, from, 5000));
    }
    const flows = lab.flows();
    expect([flows.tcp, flows.icmp]).toEqual([20, 5]);
    expect(flows.udp).toBeLessThanOrEqual(20);
    expect(lab.gateway.counters.guestFull).toBeGreaterThan(200);
  });

  test('gives one up for who has none, when the host has no descriptor left', () => {
    const lab = newLab({ handlesMax: 300 });
    const own = Array.from({ length: 320 }, (_, i) => {
      if (i % 20 === 0) lab.run(1000);
      return lab.connect(0);
    });
    lab.run(100_000);
    expect(lab.gateway.counters.hostFull).toBe(own.length - 300);
    const h = lab.connect(1);
    lab.sendTo(1, lab.udp(1), 'me too');
    lab.run(100_000);
    expect(lab.send(1, h, 'here')).toBe(4);
    expect(said(lab)).toEqual(['me too']);
    expect(lab.gateway.counters.evicted).toBe(2);
    expect(lab.flows()).toEqual({ tcp: 299, udp: 1 });
  });

  test('gives up the ones that are idle', () => {
    const lab = newLab({ caps: { tcpPerGuest: 40, tcpMax: 40 } });
    const own = Array.from({ length: 40 }, () => lab.connect(0));
    lab.run(100_000);
    const busy = own.slice(8);
    lab.run(10_000_000);
    for (const h of busy) lab.send(0, h, 'busy');
    lab.run(100_000);
    for (let i = 0; i < 8; i++) lab.connect(1, SERVER, 80);
    lab.run(100_000);
    expect(lab.gateway.counters.evicted).toBe(8);
    const ended = own.filter((h) => lab.send(0, h, 'x') !== 1);
    expect(ended.filter((h) => busy.includes(h)).length).toBeLessThanOrEqual(4); // of a sample the longest idle
    expect(lab.gate.tcp.connections).toBe(41);
  });
});
