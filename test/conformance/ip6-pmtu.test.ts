// RFC 8201 through a whole stack: what "packet too big" does, and what it does not.

import { describe, expect, test } from 'vitest';
import {
  echo,
  FAR,
  frame6,
  HOST,
  HOST_GLOBAL,
  icmp,
  Next,
  PEER,
  ROUTER,
  ROUTER_MAC,
  sealed,
  text,
} from '../kit/frame-build.ts';
import { FrameHost, S } from '../kit/frame-host.ts';

const DATA = 1352; // an echo of 1400 bytes in all
const strip = (lines: string[]): string[] => lines.map((line) => line.replace(/id=\d+ next/, 'next'));

function host(): FrameHost {
  const one = new FrameHost({ gateway: ROUTER }).meetAll();
  one.meet(ROUTER, ROUTER_MAC);
  return one;
}

const ping = (one: FrameHost, from: string, to = HOST_GLOBAL): string[] =>
  strip(one.send(frame6({ from, to, fromMac: ROUTER_MAC, chain: [[Next.Icmp6, echo(text(DATA))]] })));

/** "Packet too big" from a router about the last frame. */
const tooBig = (one: FrameHost, mtuBytes: number, about = one.last()): string[] =>
  one.send(
    frame6({
      from: ROUTER,
      to: HOST_GLOBAL,
      fromMac: ROUTER_MAC,
      chain: [[Next.Icmp6, icmp(2, 0, mtuBytes, about.slice(14, 1246))]],
    }),
  );

const whole = (to: string, from = HOST_GLOBAL): string[] => [`${from} > ${to} echo-reply id=1 seq=1 data=${DATA}`];
const cut = (to: string, mtuBytes: number, from = HOST_GLOBAL): string[] => {
  const first = (mtuBytes - 48) & ~7;
  return [
    `${from} > ${to} frag=0+ next=58 data=${first}`,
    `${from} > ${to} frag=${first} next=58 data=${1360 - first}`,
  ];
};

describe('path MTU (RFC 8201)', () => {
  test('a packet too big makes later packets smaller (§4)', () => {
    const one = host();
    expect(ping(one, FAR)).toEqual(whole(FAR));
    tooBig(one, 1304);
    expect(ping(one, FAR)).toEqual(cut(FAR, 1304));
    tooBig(one, 1280);
    expect(ping(one, FAR)).toEqual(cut(FAR, 1280));
  });

  test('it holds for one destination (§5.2)', () => {
    const one = host();
    ping(one, FAR);
    tooBig(one, 1280);
    expect(ping(one, '2001:db8:ffff::8')).toEqual(whole('2001:db8:ffff::8'));
    expect(ping(one, FAR)).toEqual(cut(FAR, 1280));
  });

  test('a larger MTU is no increase (§4)', () => {
    const one = host();
    ping(one, FAR);
    const about = one.last();
    tooBig(one, 1304);
    tooBig(one, 1500, about);
    tooBig(one, 0xffffffff, about);
    expect(ping(one, FAR)).toEqual(cut(FAR, 1304));
  });

  test.each([0, 56, 1279])('%i, below 1280, is discarded (§4)', (mtuBytes) => {
    const one = host();
    ping(one, FAR);
    tooBig(one, mtuBytes);
    expect(ping(one, FAR)).toEqual(whole(FAR));
  });

  test('it is forgotten, but not before five minutes (§4)', () => {
    const one = host();
    ping(one, FAR);
    tooBig(one, 1280);
    one.run(300 * S);
    expect(ping(one, FAR)).toEqual(cut(FAR, 1280));
    one.run(1800 * S);
    one.meet(ROUTER, ROUTER_MAC);
    expect(ping(one, FAR)).toEqual(whole(FAR));
  });

  test('on the link itself as well', () => {
    const one = host();
    expect(ping(one, PEER, HOST)).toEqual(whole(PEER, HOST));
    const about = one.last();
    one.send(frame6({ from: PEER, to: HOST, chain: [[Next.Icmp6, icmp(2, 0, 1280, about.slice(14, 1246))]] }));
    expect(ping(one, PEER, HOST)).toEqual(cut(PEER, 1280, HOST));
  });

  test('a packet that is not ours, or a wrong checksum, changes nothing', () => {
    const one = host();
    ping(one, FAR);
    const about = one.last().slice();
    about[37] = about[37]! ^ 2; // another source
    tooBig(one, 1280, about);
    const message = sealed(Next.Icmp6, icmp(2, 0, 1280, one.last().slice(14, 1246)), ROUTER, HOST_GLOBAL);
    message[3] = message[3]! ^ 1;
    one.send(frame6({ from: ROUTER, to: HOST_GLOBAL, isRaw: true, chain: [[Next.Icmp6, message]] }));
    expect(ping(one, FAR)).toEqual(whole(FAR));
  });

  test('to a group, as any of its paths may be the one that is too narrow (§4, §5.2)', () => {
    const one = host();
    one.sendUdp('ff0e::99', 1352, { from: HOST_GLOBAL });
    const about = one.last();
    expect(about.length).toBe(1414);
    tooBig(one, 1280, about);
    one.take();
    one.sendUdp('ff0e::99', 1352, { from: HOST_GLOBAL });
    expect(strip(one.take().map((sent) => sent.text))).toEqual([
      `${HOST_GLOBAL} > ff0e::99 frag=0+ next=17 data=1232`,
      `${HOST_GLOBAL} > ff0e::99 frag=1232 next=17 data=128`,
    ]);
  });
});
