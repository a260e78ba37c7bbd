import { expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import { NetKit, packet6, udpData } from '../kit-net.ts';

const UDP16 = [...udpData(16)];
/** Extension headers, then UDP. */
const chain = (...bytes: number[]): Uint8Array => Uint8Array.of(...bytes, ...UDP16);
/** Type, code and pointer of the parameter problem that was sent; undefined if none was. */
const problem = (kit: NetKit): number[] | undefined => {
  const [sent] = kit.sent();
  return sent && [sent[40]!, sent[41]!, new DataView(sent.buffer, sent.byteOffset).getUint32(44)];
};

test('a packet for this host is given to its transport', () => {
  const kit = new NetKit();
  expect(kit.receive(packet6({ trafficClass: 0x2e }))).toBe(Drop.None);
  expect(kit.udp.packets).toMatchObject([{ bytes: udpData(16), protocolOffset: 6, trafficClass: 0x2e }]);
});

test.each([
  ['ff02::1', '2001:db8::1', Drop.BadSource],
  ['::1', '2001:db8::1', Drop.BadSource],
  ['::ffff:10.0.0.2', '2001:db8::1', Drop.BadSource],
  ['::', '2001:db8::1', Drop.BadSource],
  ['2001:db8::1', '2001:db8::1', Drop.BadSource],
  ['2001:db8::2', '::1', Drop.BadTarget],
  ['2001:db8::2', '::', Drop.BadTarget],
  ['2001:db8::2', '::ffff:10.0.0.1', Drop.BadTarget],
  ['2001:db8::2', 'ff01::1', Drop.BadTarget],
  ['2001:db8::2', 'ff00::1', Drop.BadTarget],
  ['2001:db8::2', '2001:db8::3', Drop.NotForUs],
  ['2001:db8::2', 'ff02::fb', Drop.NotForUs],
  ['2001:db8::2', 'ff02::1', Drop.None],
  ['fe80::2', 'fe80::1', Drop.None],
])('RFC 4291 §2.5, §2.7: from %s to %s is %i', (from, to, drop) => {
  expect(new NetKit().receive(packet6({ from, to }))).toBe(drop);
});

test.each([
  ['hop-by-hop of padding', 0, chain(17, 0, 1, 4, 0, 0, 0, 0)],
  ['hop-by-hop with router alert', 0, chain(17, 0, 5, 2, 0, 0, 1, 0)],
  ['Pad1', 60, chain(17, 0, 0, 0, 0, 0, 0, 0)],
  ['an unknown option with action 00', 60, chain(17, 0, 0x3e, 4, 0, 0, 0, 0)],
  ['routing type 0 without segments left', 43, chain(17, 0, 0, 0, 0, 0, 0, 0)],
  ['an atomic fragment (RFC 6946)', 44, chain(17, 0, 0, 0, 0, 0, 0, 1)],
])('RFC 8200 §4: %s is gone past', (_, next, data) => {
  const kit = new NetKit();
  expect(kit.receive(packet6({ next, data }))).toBe(Drop.None);
  expect(kit.udp.packets).toMatchObject([{ bytes: udpData(16), protocolOffset: 40 }]);
});

test.each([
  ['§4.2: option with action 01', 60, chain(17, 0, 0x7e, 4, 0, 0, 0, 0), Drop.Ip6Option, undefined],
  ['§4.2: option with action 10', 60, chain(17, 0, 0, 0x9e, 3, 0, 0, 0), Drop.Ip6Option, [4, 2, 43]],
  ['§4.2: option with action 11', 0, chain(17, 0, 0xde, 4, 0, 0, 0, 0), Drop.Ip6Option, [4, 2, 42]],
  ['jumbo payload, which is refused', 0, chain(17, 0, 0xc2, 4, 0, 1, 0, 0), Drop.Ip6Option, [4, 2, 42]],
  ['RFC 5095 §3: routing type 0', 43, chain(17, 2, 0, 1, ...new Array(20).fill(0)), Drop.Ip6Routing, [4, 0, 42]],
  ['§4.4: unknown routing type', 43, chain(17, 0, 99, 1, 0, 0, 0, 0), Drop.Ip6Routing, [4, 0, 42]],
  [
    '§4.1: hop-by-hop not first',
    60,
    chain(0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0),
    Drop.Ip6Extension,
    [4, 1, 40],
  ],
  ['§4: unknown next header', 200, chain(), Drop.UnknownProtocol, [4, 1, 6]],
  ['§4: unknown next header behind another', 60, chain(201, 0, 1, 4, 0, 0, 0, 0), Drop.UnknownProtocol, [4, 1, 40]],
  ['a header longer than the packet', 60, chain(17, 9, 1, 4, 0, 0, 0, 0), Drop.Ip6Extension, undefined],
  ['an option longer than its header', 60, chain(17, 0, 0x9e, 5, 0, 0, 0, 0), Drop.Ip6Extension, undefined],
])('RFC 8200 %s', (_, next, data, drop, answer) => {
  const kit = new NetKit();
  expect(kit.receive(packet6({ next, data }))).toBe(drop);
  expect(problem(kit)).toEqual(answer);
  expect(kit.udp.packets).toEqual([]);
});

test.each([
  [0x9e, [4, 2, 42]],
  [0xde, undefined],
])('RFC 8200 §4.2, RFC 4443 §2.4 (e): option %i in a multicast packet', (option, answer) => {
  const kit = new NetKit();
  kit.receive(packet6({ to: 'ff02::1', next: 60, data: chain(17, 0, option, 4, 0, 0, 0, 0) }), { isGroup: true });
  expect(problem(kit)).toEqual(answer);
});

test('RFC 8200 §4.7: what follows "no next header" is ignored', () => {
  const kit = new NetKit();
  expect(kit.receive(packet6({ next: 59 }))).toBe(Drop.None);
  expect(kit.sent()).toEqual([]);
});

test('RFC 8200 §5: a link below 1280 takes no IPv6', () => {
  expect(new NetKit({ mtuBytes: 1279 }).receive(packet6({}))).toBe(Drop.NoPort);
});
