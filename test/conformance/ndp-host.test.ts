// RFC 4861 §7, §8 through a whole stack: address resolution, reachability, the neighbour cache in every state.

import { describe, expect, test } from 'vitest';
import {
  echo,
  FAR,
  frame6,
  HOST,
  HOST_GLOBAL,
  HOST_MAC,
  join,
  Next,
  na,
  nd,
  ns,
  PEER,
  PEER_GLOBAL,
  PEER_MAC,
  ROUTER,
  ROUTER_MAC,
  ROUTER2,
  ROUTER2_MAC,
  redirect,
  slla,
  text,
  tlla,
} from '../kit/frame-build.ts';
import { FrameHost, S } from '../kit/frame-host.ts';
import { tellWithMac } from '../kit/frame-text.ts';

const OTHER_MAC = '02:00:00:00:00:bb';
const GROUP = 'ff02::1:ff00:1';
const ping = (from = PEER, to = HOST): Uint8Array => frame6({ from, to, chain: [[Next.Icmp6, echo()]] });
const reply = (to = PEER, from = HOST): string => `${from} > ${to} echo-reply id=1 seq=1 data=8`;
const ask = (target = PEER, from = HOST): string =>
  `${from} > ff02::1:ff00:${target.split(':').at(-1)} ns ${target} slla=${HOST_MAC}`;
const probe = (target = PEER, from = HOST): string => `${from} > ${target} ns ${target} slla=${HOST_MAC}`;
const answer = (to = PEER, target = HOST): string => `${target} > ${to} na ${target} SO tlla=${HOST_MAC}`;

/** A host whose neighbour entry for the peer is in a state. */
function inState(state: string): FrameHost {
  const host = new FrameHost();
  if (state === 'none') return host;
  if (state === 'INCOMPLETE') {
    host.send(ping());
    return host;
  }
  host.send(nd(ns(HOST, slla()), { to: GROUP }));
  if (state === 'REACHABLE' || state === 'STALE') {
    host.run(0);
    host.send(ping());
    host.run(5 * S);
    host.send(nd(na(PEER, 'SO', tlla())));
    if (state === 'STALE') host.run(60 * S);
  }
  if (state === 'PROBE') {
    host.send(ping());
    host.run(5 * S);
  }
  host.take();
  expect(host.neighbor(PEER)).toMatch(state);
  return host;
}

describe('address resolution (RFC 4861 §7.2.2)', () => {
  test('a packet waits for the answer; it leaves with the answer’s MAC', () => {
    const host = new FrameHost();
    expect(host.send(ping())).toEqual([ask()]);
    expect(host.neighbor(PEER)).toBe('INCOMPLETE');
    expect(tellWithMac(host.last())).toMatch(/^33:33:ff:00:00:aa /);
    expect(host.send(nd(na(PEER, 'SO', tlla())))).toEqual([reply()]);
    expect(tellWithMac(host.last())).toBe(`${PEER_MAC} ${reply()}`);
  });

  test('at most three solicitations, a second apart; then the packets are dropped, and the next one asks anew', () => {
    const host = new FrameHost();
    host.send(ping());
    expect(host.run(S - 1)).toEqual([]);
    expect(host.run(1)).toEqual([ask()]);
    expect(host.run(S)).toEqual([ask()]);
    expect(host.run(10 * S)).toEqual([]);
    expect(host.send(nd(na(PEER, 'SO', tlla())))).toEqual([]);
    expect(host.send(ping())).toEqual([ask()]);
    expect(host.send(nd(na(PEER, 'SO', tlla())))).toEqual([reply()]);
  });

  test('solicitations to one neighbour do not come faster than the retransmission time, however many packets wait', () => {
    const host = new FrameHost();
    const lines = [0, 1, 2, 3, 4].flatMap(() => host.send(ping()));
    expect(lines).toEqual([ask()]);
  });

  test('a small queue: of more packets than it takes the oldest go, and those left leave in order', () => {
    const host = new FrameHost({ limits: { neighborPacketsMax: 3 } });
    for (let seq = 1; seq <= 5; seq++) host.send(frame6({ chain: [[Next.Icmp6, echo(text(8), 128, 1, seq)]] }));
    const lines = host.send(nd(na(PEER, 'SO', tlla())));
    expect(lines.map((line) => /seq=(\d)/.exec(line)![1])).toEqual(['3', '4', '5']);
  });

  test('one queue a neighbour (§7.2.2)', () => {
    const host = new FrameHost();
    host.send(ping());
    host.send(ping('fe80::ab'));
    expect(host.send(nd(na('fe80::ab', 'SO', tlla(OTHER_MAC)), { from: 'fe80::ab' }))).toEqual([reply('fe80::ab')]);
    expect(host.send(nd(na(PEER, 'SO', tlla())))).toEqual([reply()]);
  });

  test('the source is the one of the packet that waits', () => {
    const host = new FrameHost();
    expect(host.send(ping(PEER_GLOBAL, HOST_GLOBAL))).toEqual([ask(PEER_GLOBAL, HOST_GLOBAL)]);
  });

  test('a group needs no resolution: its MAC follows from it (RFC 2464 §7)', () => {
    const host = new FrameHost();
    host.sendUdp('ff02::1:2', 8);
    expect(tellWithMac(host.last())).toMatch(/^33:33:00:01:00:02 fe80::1 > ff02::1:2/);
  });

  test('what is not on the link and has no router goes nowhere (§5.2)', () => {
    const host = new FrameHost();
    expect(host.sendUdp(FAR, 8)).toBeLessThan(0);
    expect(host.take()).toEqual([]);
  });
});

describe('solicitations as they come in (§7.1.1, §7.2.3, §7.2.4)', () => {
  test.each<[string, Uint8Array, string[], string]>([
    ['to the solicited-node group, with a MAC', nd(ns(HOST, slla()), { to: GROUP }), [answer()], `DELAY ${PEER_MAC}`],
    ['in unicast, with a MAC', nd(ns(HOST, slla())), [answer()], `DELAY ${PEER_MAC}`],
    ['in unicast, without: it is asked for', nd(ns(HOST)), [ask()], 'INCOMPLETE'],
    [
      'for the other address',
      nd(ns(HOST_GLOBAL, slla()), { to: GROUP }),
      [answer(PEER, HOST_GLOBAL)],
      `DELAY ${PEER_MAC}`,
    ],
    ['with unknown options', nd(ns(HOST, slla(), [200, 1, 0, 0, 0, 0, 0, 0])), [answer()], `DELAY ${PEER_MAC}`],
    [
      'with reserved bits',
      nd(Uint8Array.from(ns(HOST, slla()), (b, i) => (i === 4 ? 255 : b))),
      [answer()],
      `DELAY ${PEER_MAC}`,
    ],
    ['hop limit 254', nd(ns(HOST, slla()), { hop: 254 }), [], ''],
    ['code 1', nd(Uint8Array.from(ns(HOST, slla()), (b, i) => (i === 1 ? 1 : b))), [], ''],
    ['a wrong checksum', nd(ns(HOST, slla()), { isRaw: true }), [], ''],
    ['shorter than 24 bytes', nd(ns(HOST).slice(0, 23)), [], ''],
    ['a group as target', nd(ns('ff02::1', slla())), [], ''],
    ['an option of length 0', nd(ns(HOST, [1, 0, 0, 0, 0, 0, 0, 0])), [], ''],
    ['an option that is cut', nd(ns(HOST, [1, 2, 0, 0, 0, 0, 0, 0])), [], ''],
    ['from :: to a unicast address', nd(ns(HOST), { from: '::' }), [], ''],
    ['from :: to all nodes', nd(ns(HOST), { from: '::', to: 'ff02::1' }), [], ''],
    ['from :: with a MAC', nd(ns(HOST, slla()), { from: '::', to: GROUP }), [], ''],
    ['for somebody else', nd(ns('fe80::77', slla())), [], ''],
    [
      'in pieces (RFC 6980)',
      frame6({
        hop: 255,
        chain: [
          [Next.Fragment, [0, 0, 0, 0, 0, 0, 0, 1]],
          [Next.Icmp6, ns(HOST, slla())],
        ],
      }),
      [],
      '',
    ],
  ])('%s', (_name, frame, lines, state) => {
    const host = new FrameHost();
    expect(host.send(frame)).toEqual(lines);
    expect(host.neighbor(PEER)).toBe(state);
  });

  test('duplicate address detection of another is answered to all nodes, not solicited (§7.2.4)', () => {
    const host = new FrameHost();
    expect(host.send(nd(ns(HOST), { from: '::', to: GROUP }))).toEqual([
      `${HOST} > ff02::1 na ${HOST} O tlla=${HOST_MAC}`,
    ]);
  });

  // The answer is a packet to it, so that STALE is DELAY at once: §7.3.3.
  test.each([
    ['none', slla(OTHER_MAC), `DELAY ${OTHER_MAC}`],
    ['INCOMPLETE', slla(OTHER_MAC), `DELAY ${OTHER_MAC}`],
    ['REACHABLE', slla(PEER_MAC), `REACHABLE ${PEER_MAC}`],
    ['REACHABLE', slla(OTHER_MAC), `DELAY ${OTHER_MAC}`],
    ['STALE', slla(PEER_MAC), `DELAY ${PEER_MAC}`],
    ['STALE', slla(OTHER_MAC), `DELAY ${OTHER_MAC}`],
    ['PROBE', slla(PEER_MAC), `PROBE ${PEER_MAC}`],
    ['PROBE', slla(OTHER_MAC), `DELAY ${OTHER_MAC}`],
  ])(
    'a solicitation in state %s makes it STALE if the MAC is new, and the answer a use of it',
    (state, option, want) => {
      const host = inState(state);
      host.send(nd(ns(HOST, option), { to: GROUP }));
      expect(host.neighbor(PEER)).toBe(want);
    },
  );
});

describe('advertisements as they come in (§7.1.2)', () => {
  test.each<[string, Uint8Array]>([
    ['hop limit 254', nd(na(PEER, 'SO', tlla()), { hop: 254 })],
    ['code 1', nd(Uint8Array.from(na(PEER, 'SO', tlla()), (b, i) => (i === 1 ? 1 : b)))],
    ['a wrong checksum', nd(na(PEER, 'SO', tlla()), { isRaw: true })],
    ['shorter than 24 bytes', nd(na(PEER, 'SO').slice(0, 20))],
    ['a group as target', nd(na('ff02::1', 'SO', tlla()))],
    ['solicited, to a group', nd(na(PEER, 'SO', tlla()), { to: 'ff02::1' })],
    ['an option of length 0', nd(na(PEER, 'SO', [2, 0, 0, 0, 0, 0, 0, 0]))],
    ['no MAC, while none is known (§7.2.5)', nd(na(PEER, 'SO'))],
    ['of somebody else', nd(na('fe80::77', 'SO', tlla()))],
  ])('INCOMPLETE: %s changes nothing', (_name, frame) => {
    const host = inState('INCOMPLETE');
    expect(host.send(frame)).toEqual([]);
    expect(host.neighbor(PEER)).toBe('INCOMPLETE');
  });

  test('nobody that is not known is made known (§7.2.5)', () => {
    const host = new FrameHost();
    host.send(nd(na(PEER, 'SO', tlla())));
    host.send(nd(na(PEER, 'O', tlla()), { to: 'ff02::1' }));
    expect(host.neighbor(PEER)).toBe('');
  });
});

// RFC 4861 Appendix C and §7.2.5, all flags in all states. `=`: the same MAC, `!`: another, `-`: none.
describe('the cache by state, flags and MAC (§7.2.5)', () => {
  const SAME = PEER_MAC;
  const options: Readonly<Record<string, number[]>> = { '=': tlla(), '!': tlla(OTHER_MAC), '-': [] };
  const rows: [string, string, string, string][] = [];
  for (const flags of ['', 'S', 'O', 'SO']) {
    rows.push(['INCOMPLETE', flags, '=', flags.includes('S') ? `REACHABLE ${SAME}` : `DELAY ${SAME}`]);
    for (const state of ['REACHABLE', 'STALE', 'PROBE']) {
      const same = flags.includes('S') ? 'REACHABLE' : state;
      rows.push([state, flags, '=', `${same} ${SAME}`]);
      rows.push([state, flags, '-', `${same} ${SAME}`]);
      if (flags.includes('O'))
        rows.push([state, flags, '!', `${flags.includes('S') ? 'REACHABLE' : 'STALE'} ${OTHER_MAC}`]);
      else rows.push([state, flags, '!', `${state === 'REACHABLE' ? 'STALE' : state} ${SAME}`]);
    }
  }
  test.each(rows)('%s, flags "%s", MAC %s: %s', (state, flags, option, want) => {
    const host = inState(state);
    host.send(nd(na(PEER, flags, options[option]!), { to: flags.includes('S') ? HOST : 'ff02::1' }));
    expect(host.neighbor(PEER)).toBe(want);
  });

  test.each(rows.filter((row) => row[2] !== '!' || row[1].includes('O')))(
    '%s, flags "R%s", MAC %s: it is a router then',
    (state, flags, option) => {
      const host = inState(state);
      host.send(nd(na(PEER, `R${flags}`, options[option]!), { to: flags.includes('S') ? HOST : 'ff02::1' }));
      expect(host.neighbor(PEER)).toContain('router');
    },
  );
});

describe('reachability (§7.3)', () => {
  test('STALE; a packet makes it DELAY for 5 s, then three unicast probes a second apart, then it is gone', () => {
    const host = inState('STALE');
    expect(host.send(ping())).toEqual([reply()]);
    expect(host.neighbor(PEER)).toMatch('DELAY');
    expect(host.run(5 * S - 1)).toEqual([]);
    expect(host.run(1)).toEqual([probe()]);
    expect(tellWithMac(host.last())).toMatch(new RegExp(`^${PEER_MAC} `));
    expect(host.neighbor(PEER)).toMatch('PROBE');
    expect(host.run(S)).toEqual([probe()]);
    expect(host.run(S)).toEqual([probe()]);
    expect(host.run(S - 1)).toEqual([]);
    host.run(1);
    expect(host.send(ping())).toEqual([ask()]);
  });

  test('packets are sent in STALE, DELAY and PROBE without waiting', () => {
    const host = inState('PROBE');
    expect(host.send(ping())).toEqual([reply()]);
    expect(host.neighbor(PEER)).toMatch('PROBE');
  });

  test('REACHABLE lasts for 15 … 45 s (§6.3.2)', () => {
    const host = inState('REACHABLE');
    host.run(15 * S - 1);
    expect(host.neighbor(PEER)).toMatch('REACHABLE');
    host.run(30 * S);
    expect(host.neighbor(PEER)).toMatch('STALE');
  });

  test('an unsolicited advertisement in DELAY does not end the doubt', () => {
    const host = inState('STALE');
    host.send(ping());
    host.send(nd(na(PEER, 'O', tlla()), { to: 'ff02::1' }));
    expect(host.run(5 * S)).toEqual([probe()]);
  });
});

describe('redirects (§8.1, §8.3)', () => {
  function routed(): FrameHost {
    const host = new FrameHost({ gateway: ROUTER });
    host.meet(ROUTER, ROUTER_MAC);
    host.meet(ROUTER2, ROUTER2_MAC);
    return host;
  }
  const far = (): Uint8Array =>
    frame6({ from: FAR, to: HOST_GLOBAL, fromMac: ROUTER_MAC, chain: [[Next.Icmp6, echo()]] });
  const macOfReply = (host: FrameHost): string => {
    host.send(far());
    return tellWithMac(host.last()).slice(0, 17);
  };
  const fromRouter = { from: ROUTER, fromMac: ROUTER_MAC } as const;

  test('to a better router', () => {
    const host = routed();
    expect(macOfReply(host)).toBe(ROUTER_MAC);
    host.send(nd(redirect(ROUTER2, FAR, tlla(ROUTER2_MAC)), fromRouter));
    expect(macOfReply(host)).toBe(ROUTER2_MAC);
    expect(host.neighbor(ROUTER2)).toContain('PERMANENT');
  });

  test('for one destination only', () => {
    const host = routed();
    host.send(nd(redirect(ROUTER2, 'fd00::5', tlla(ROUTER2_MAC)), fromRouter));
    expect(macOfReply(host)).toBe(ROUTER_MAC);
  });

  test('to the target itself, which is on the link then; its MAC is in the option', () => {
    const host = routed();
    host.send(nd(redirect(FAR, FAR, tlla(OTHER_MAC)), fromRouter));
    expect(host.neighbor(FAR)).toBe(`STALE ${OTHER_MAC}`);
    expect(macOfReply(host)).toBe(OTHER_MAC);
  });

  test('to the target itself without an option: it is asked for', () => {
    const host = routed();
    host.send(nd(redirect(FAR, FAR), fromRouter));
    expect(host.send(far())).toEqual([`${HOST_GLOBAL} > ff02::1:ff00:9 ns ${FAR} slla=${HOST_MAC}`]);
  });

  test.each<[string, Uint8Array, Parameters<typeof nd>[1]]>([
    ['not from a link-local address', redirect(ROUTER2, FAR), { from: '2001:db8::f1' }],
    ['hop limit 254', redirect(ROUTER2, FAR), { hop: 254 }],
    ['code 1', Uint8Array.from(redirect(ROUTER2, FAR), (b, i) => (i === 1 ? 1 : b)), {}],
    ['a wrong checksum', redirect(ROUTER2, FAR), { isRaw: true }],
    ['shorter than 40 bytes', redirect(ROUTER2, FAR).slice(0, 32), {}],
    ['not from the first hop', redirect(ROUTER2, FAR), { from: ROUTER2 }],
    ['a group as destination', redirect(ROUTER2, 'ff0e::9'), {}],
    ['a target that is neither link-local nor the destination', redirect('2001:db8::f2', FAR), {}],
    ['an option of length 0', redirect(ROUTER2, FAR, [2, 0, 0, 0, 0, 0, 0, 0]), {}],
  ])('invalid: %s', (_name, message, change) => {
    const host = routed();
    host.send(nd(join(message), { ...fromRouter, ...change }));
    expect(macOfReply(host)).toBe(ROUTER_MAC);
  });
});
