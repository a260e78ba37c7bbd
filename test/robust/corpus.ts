// A few frames of every protocol that a host may meet, as starting points of mutations.

import { bytesOf, ethernet, ip4, ip6, sealed, zeros } from './packets.ts';

/** The host that is mistreated, its peer, and a stranger: MACs and addresses in hex. */
export const HOST = { mac: '020000000001', ip4: '0a000001', ip6: 'fd000000000000000000000000000001' };
export const PEER = { mac: '020000000002', ip4: '0a000002', ip6: 'fd000000000000000000000000000002' };
const LINK_LOCAL = 'fe800000000000000000000000000099';
const ALL_NODES = 'ff020000000000000000000000000001';
const ALL_ROUTERS = 'ff020000000000000000000000000002';
const SOLICITED = 'ff0200000000000000000001ff000001';
const NOBODY6 = '00'.repeat(16);
const FAR4 = 'c0000207';
const FAR6 = '20010db8000000000000000000000007';

const v4 = (protocol: number, body: Uint8Array, options = {}, to = HOST.ip4, from = PEER.ip4): Uint8Array =>
  ethernet(to === HOST.ip4 ? HOST.mac : 'ffffffffffff', PEER.mac, '0800', ip4(protocol, from, to, body, options));
const v6 = (next: number, body: Uint8Array, to = HOST.ip6, from = PEER.ip6, hops = 64): Uint8Array =>
  ethernet(to.startsWith('ff') ? `3333${to.slice(24)}` : HOST.mac, PEER.mac, '86dd', ip6(next, from, to, body, hops));
const ndp = (body: string, to = HOST.ip6, from = LINK_LOCAL): Uint8Array => v6(58, bytesOf(body), to, from, 255);
const arp = (op: number, senderMac: string, sender: string, target: string): Uint8Array =>
  ethernet(
    'ffffffffffff',
    senderMac,
    '0806',
    bytesOf('00010800060400', op, senderMac, sender, '000000000000', target, zeros(18)),
  );
const tcp = (
  ports: string,
  seq: string,
  ack: string,
  flags: number,
  options = '',
  data: Uint8Array = zeros(0),
): Uint8Array => bytesOf(ports, seq, ack, (5 + options.length / 8) << 4, flags, 'ffff00000000', options, data);
const udp = (ports: string, body: Uint8Array): Uint8Array => bytesOf(ports, '00000000', body);

const ALL_TCP_OPTIONS = '020405b4' + '0402' + '0303' + '07' + '01' + '0101' + '080a0000000100000000' + '0101';
const SACK_OPTION = '0101' + '051a' + '0000100000001100' + '0000200000002100' + '0000300000003100';
const RA_OPTIONS =
  `0101${PEER.mac}` +
  '0501000000000514' +
  `030440c0${'00278d00'}${'00093a80'}00000000fd000001000000000000000000000000` +
  `1903000000000e10${PEER.ip6}` +
  '1f0300000000003c' +
  '03636f7207' +
  '6578616d706c6500' +
  '000000' +
  '180240080000003c' +
  'fd00000200000000';
const MDNS_ANSWER = '000084000000000100000000' + '0474657374056c6f63616c00' + '000180010000007800040a000002';
const DNS_ANSWER =
  '123481800001000100000000' + '0474657374076578616d706c6500' + '00010001' + 'c00c000100010000003c00040a000002';
const DHCP6_REPLY =
  '07123456' +
  '0001000a00030001020000000001' +
  '0002000a00030001020000000002' +
  `0003002800000001000000000000000000050018${PEER.ip6}00000e1000000e10`;

function dhcp4(type: number): Uint8Array {
  return bytesOf(
    '02010600',
    '12345678',
    '00000000',
    '00000000',
    '0a000032',
    PEER.ip4,
    '00000000',
    HOST.mac,
    zeros(10 + 64 + 128),
    '63825363',
    '3501',
    type,
    `3604${PEER.ip4}`,
    '3304000000f0',
    '0104ffffff00',
    `0304${PEER.ip4}`,
    `0604${PEER.ip4}`,
    '79080a' + '0a' + '0a000002' + '0a00',
    'ff',
  );
}

function linkFrames(): Uint8Array[] {
  return [
    arp(1, PEER.mac, PEER.ip4, HOST.ip4),
    arp(2, PEER.mac, PEER.ip4, HOST.ip4),
    arp(1, '020000000077', HOST.ip4, HOST.ip4),
    arp(1, '020000000077', '00000000', HOST.ip4),
    ndp(`8700000000000000${HOST.ip6}0101${PEER.mac}`, SOLICITED),
    ndp(`8700000000000000${HOST.ip6}`, SOLICITED, NOBODY6),
    ndp(`88000000e0000000${PEER.ip6}0201${PEER.mac}`),
    ndp(`8800000020000000${HOST.ip6}0201020000000077`, ALL_NODES),
    ndp(`85000000000000000101${PEER.mac}`, ALL_ROUTERS),
    ndp(`8600000040c0070800000000000003e8${RA_OPTIONS}`, ALL_NODES),
    ndp(`8600000040080000ffffffff000003e8${RA_OPTIONS}`, ALL_NODES),
    ndp(`8900000000000000${PEER.ip6}${FAR6}0201${PEER.mac}0402000000000000`),
    v6(0, bytesOf('3a00', '050200000100', `8200000003e80000${'00'.repeat(16)}0202${'0000'}`), ALL_NODES, LINK_LOCAL, 1),
    v6(
      0,
      bytesOf('3a00', '050200000100', '8f000000000000010400000100000000000000000000000000000000'),
      'ff020000000000000000000000000016',
      LINK_LOCAL,
      1,
    ),
    v6(0, bytesOf('3a00', '050200000100', `8300000000000000${SOLICITED}`), SOLICITED, LINK_LOCAL, 1),
    v4(2, bytesOf('1164000000000000020a0001', FAR4), { options: '94040000', ttl: 1 }, 'e0000001'),
    v4(2, bytesOf('110000000000000000'), { ttl: 1 }, 'e0000001'),
    v4(2, bytesOf('16000000e00000fb'), { options: '94040000', ttl: 1 }, 'e00000fb'),
    v4(2, bytesOf('220000000000000104000000e00000fb'), { options: '94040000', ttl: 1 }, 'e0000016'),
  ];
}

function networkFrames(): Uint8Array[] {
  const echo = bytesOf('0800000012340001', zeros(56));
  const echo6 = bytesOf('8000000012340001', zeros(56));
  const quoted4 = ip4(17, HOST.ip4, PEER.ip4, bytesOf('1b581b5900100000', zeros(8)));
  const quotedTcp4 = ip4(6, HOST.ip4, PEER.ip4, bytesOf('0050c00000000001'));
  const quoted6 = ip6(6, HOST.ip6, PEER.ip6, bytesOf('0050c0000000000100000000'));
  return [
    v4(1, echo),
    v4(1, echo, { options: `0727042000000000${'00'.repeat(32)}` }),
    v4(1, echo, { options: `44240500${'00'.repeat(32)}` }),
    v4(1, echo, { options: `830704${FAR4}00` }),
    v4(1, bytesOf('0000000012340001', zeros(56))),
    ...['0300', '0303', '0b00', '0c00', '0400', '0501'].map((type) => v4(1, bytesOf(type, '000000000000', quoted4))),
    v4(1, bytesOf('0304', '0000', '00000240', quotedTcp4)),
    v4(1, bytesOf('0301', '0000', '00000000', quotedTcp4)),
    v4(1, echo, {}, 'e0000001'),
    v4(1, echo, {}, '0affffff'),
    v4(1, echo, {}, FAR4),
    v4(17, zeros(64), { word: '77772000' }),
    v4(17, zeros(64), { word: '77772008' }),
    v4(17, zeros(60), { word: '77770010' }),
    v4(1, zeros(1400), { word: '77781fff' }),
    v6(58, echo6),
    v6(58, bytesOf('8100000012340001', zeros(56))),
    ...['0100', '0104', '0300', '0301', '0400', '0401', '0402'].map((t) => v6(58, bytesOf(t, '000000000000', quoted6))),
    v6(58, bytesOf('0200', '0000', '00000500', quoted6)),
    v6(58, bytesOf('0200', '0000', '00000100', quoted6)),
    v6(0, bytesOf('3a00', '0104000000000000'.slice(0, 12), echo6)),
    v6(0, bytesOf('2b00', 'c2047fffffff', '3a02', '00010000000000', '00', FAR6, echo6)),
    v6(60, bytesOf('3c00', '8b0400000000', '3a01', '1e0c', zeros(12), echo6)),
    v6(43, bytesOf('3a04', '0401', '00000000', FAR6, FAR6, echo6)),
    v6(44, bytesOf('3a00', '0001', '00001111', echo6)),
    v6(44, bytesOf('3a00', '0041', '00001111', zeros(64))),
    v6(44, bytesOf('3a00', '0080', '00001111', zeros(20))),
    v6(44, bytesOf('3a00', '0000', '00002222', echo6)),
    v6(51, bytesOf('3a04', zeros(22), echo6)),
    v6(59, zeros(10)),
    v6(58, echo6, FAR6),
    v6(41, ip6(58, FAR6, HOST.ip6, echo6)),
    v4(41, ip6(58, FAR6, HOST.ip6, echo6)),
    v4(4, ip4(1, FAR4, HOST.ip4, echo)),
  ];
}

function transportFrames(): Uint8Array[] {
  const both = (protocol: number, body: Uint8Array): Uint8Array[] => [v4(protocol, body), v6(protocol, body)];
  const ports = 'c0000050';
  return [
    ...both(6, tcp(ports, '00000001', '00000000', 2, ALL_TCP_OPTIONS)),
    ...both(6, tcp(ports, '00000001', '00000000', 0xc2, ALL_TCP_OPTIONS)),
    ...both(6, tcp(ports, '00000001', '00000000', 2, `220a0102030405060708${'0101'}`, zeros(20))),
    ...both(6, tcp(ports, '00000002', '00000001', 0x10)),
    ...both(6, tcp(ports, '00000002', '00000001', 0x18, SACK_OPTION, zeros(100))),
    ...both(6, tcp(ports, '00000002', '00000001', 0x11)),
    ...both(6, tcp(ports, '00000002', '00000001', 0x30, '', zeros(10))),
    ...both(6, tcp(ports, '00000002', '00000000', 4)),
    ...both(6, tcp(ports, '00000002', '00000001', 0x3f, '13120000000000000000000000000000' + '0000' + '0101')),
    ...both(17, udp('1b591b58', zeros(32))),
    ...both(17, udp('1b591b58', zeros(0))),
    ...both(17, udp('00351b58', bytesOf(DNS_ANSWER))),
    v4(17, udp('14e914e9', bytesOf(MDNS_ANSWER)), { ttl: 255 }, 'e00000fb'),
    v6(17, udp('14e914e9', bytesOf(MDNS_ANSWER)), 'ff0200000000000000000000000000fb', LINK_LOCAL, 255),
    ...[2, 5, 6].map((type) => v4(17, udp('00430044', dhcp4(type)), {}, HOST.ip4)),
    v6(17, udp('02230222', bytesOf(DHCP6_REPLY)), 'fe800000000000000000000000000001', LINK_LOCAL),
    ...both(132, zeros(20)),
    ...both(17, udp('00001b58', zeros(9))),
  ];
}

/** All of them, with right lengths and checksums. */
export const newCorpus = (): Uint8Array[] => [...linkFrames(), ...networkFrames(), ...transportFrames()].map(sealed);
