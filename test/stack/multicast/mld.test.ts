import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import { responseUs } from '../../../stack/multicast/group-reporter.ts';
import { bytesOf } from '../../kit/hex.ts';
import { Bench, ip, S, type Sent } from '../kit-nd.ts';

const OWN = 'fe80::1';
const ROUTER = 'fe80::2';
const GROUP = 'ff05::77';
const OTHER = 'ff05::88';
const [A, B, C] = ['2001:db8::a', '2001:db8::b', '2001:db8::c'];
const hex = (text: string): string => [...ip(text)].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
const num = (value: number, bytes: number): string => value.toString(16).padStart(2 * bytes, '0');

const query1 = (ms: number, group = '::'): string => `82000000${num(ms, 2)}0000${hex(group)}`;
const query2 = (code: number, group = '::', sources: string[] = [], qrv = 2, qqic = 125): string =>
  `82000000${num(code, 2)}0000${hex(group)}${num(qrv, 1)}${num(qqic, 1)}${num(sources.length, 2)}${sources.map(hex).join('')}`;
const report1 = (group: string): string => `8300000000000000${hex(group)}`;

function host(seed = 1): Bench {
  const bench = new Bench({ seed });
  bench.own(OWN);
  return bench;
}

const ask = (bench: Bench, message: string, target = 'ff02::1'): number =>
  bench.icmp(ROUTER, target, message, { hopLimit: 1, alert: true });

const said = (sent: Sent[]): string[] => sent.map((one) => one.text.split(' fe80::1 ')[0]!);
const join = (bench: Bench, group = GROUP): number => bench.autoconf.multicast.join(2, ip(group));
const filter = (bench: Bench, owner: number, isExclude: boolean, ...sources: string[]): number =>
  bench.autoconf.multicast.setFilter(2, ip(GROUP), owner, isExclude, sources.map(ip));

/** A host in GROUP whose own reports are over. */
function member(seed = 1): Bench {
  const bench = host(seed);
  join(bench);
  bench.run(30 * S);
  return bench;
}

describe('reports of changes, RFC 3810 §6.1', () => {
  test('a join is told at once and once more within a second, with hop limit 1 and router alert, §5, §9.11', () => {
    const bench = host();
    join(bench);
    const sent = bench.run(30 * S);
    const text = `report2 to-ex(${GROUP}) ${OWN} > ff02::16 hop 1 alert to 33:33:00:00:00:16`;
    expect(sent.map((one) => one.text)).toEqual([text, text]);
    expect(sent[0]!.us).toBe(0);
    expect(sent[1]!.us).toBeLessThanOrEqual(S);
    expect(Buffer.from(sent[0]!.bytes.subarray(54, 62)).toString('hex')).toBe('3a00050200000100');
  });

  test('from :: while there is no link-local address, and anew when there is one, RFC 3590 §4', () => {
    const bench = new Bench();
    bench.autoconf.start(2);
    const sent = bench.run(5 * S).map((one) => one.text);
    expect(sent.filter((one) => one.startsWith('report2 to-ex'))[0]).toContain(' :: > ff02::16');
    expect(sent.some((one) => /^report2 is-ex\(ff02::1:ff.* fe80::.* > ff02::16/.test(one))).toBe(true);
  });

  test('a leave is told twice', () => {
    const bench = member();
    bench.autoconf.multicast.leave(2, ip(GROUP));
    expect(said(bench.run(30 * S))).toEqual([`report2 to-in(${GROUP})`, `report2 to-in(${GROUP})`]);
  });

  test('joins are counted: only the last leave is told', () => {
    const bench = member();
    join(bench);
    bench.autoconf.multicast.leave(2, ip(GROUP));
    expect(bench.run(30 * S)).toEqual([]);
    expect(bench.autoconf.multicast.leave(2, ip(GROUP))).toBe(0);
    expect(bench.autoconf.multicast.leave(2, ip(GROUP))).toBeLessThan(0);
  });

  test('all-nodes and the smaller scopes are never told, §6', () => {
    const bench = host();
    for (const group of ['ff02::1', 'ff01::5', 'ff00::5']) join(bench, group);
    expect(bench.run(30 * S)).toEqual([]);
  });

  // The table of §6.1: INCLUDE (A) to INCLUDE (B), EXCLUDE (A) to EXCLUDE (B), and the two changes of mode.
  test.each<[string, [boolean, string[]], [boolean, string[]], string]>([
    ['IN(A B) to IN(B C)', [false, [A, B]], [false, [B, C]], `allow(${GROUP} ${C}),block(${GROUP} ${A})`],
    ['EX(A B) to EX(B C)', [true, [A, B]], [true, [B, C]], `allow(${GROUP} ${A}),block(${GROUP} ${C})`],
    ['IN(A) to EX(B)', [false, [A]], [true, [B]], `to-ex(${GROUP} ${B})`],
    ['EX(A) to IN(B)', [true, [A]], [false, [B]], `to-in(${GROUP} ${B})`],
    ['IN(A) to IN(A B)', [false, [A]], [false, [A, B]], `allow(${GROUP} ${B})`],
  ])('%s', (_what, from, to, record) => {
    const bench = host();
    filter(bench, 1, from[0], ...from[1]);
    bench.run(30 * S);
    filter(bench, 1, to[0], ...to[1]);
    expect(said(bench.run(30 * S))).toEqual([`report2 ${record}`, `report2 ${record}`]);
  });

  test('a change while another is still told again is told with it, §6.1', () => {
    const bench = host();
    filter(bench, 1, false, A);
    filter(bench, 1, false, A, B);
    expect(said(bench.run(30 * S))).toEqual([
      `report2 allow(${GROUP} ${A})`,
      `report2 allow(${GROUP} ${A} ${B})`,
      `report2 allow(${GROUP} ${B})`,
    ]);
  });
});

describe('memberships, RFC 3810 §4.2', () => {
  test('filters of sockets merge: EXCLUDE wins, of common sources that nobody includes', () => {
    const bench = host();
    const hears = (source: string): boolean => bench.autoconf.multicast.isMember(2, ip(GROUP), ip(source));
    filter(bench, 1, true, A, B);
    filter(bench, 2, true, B, C);
    expect([A, B, C].map(hears)).toEqual([true, false, true]);
    filter(bench, 3, false, B);
    expect([A, B, C].map(hears)).toEqual([true, true, true]);
    filter(bench, 1, false);
    filter(bench, 2, false);
    expect([A, B, C].map(hears)).toEqual([false, true, false]);
  });

  test('what is no group, no interface or too much is refused', () => {
    const bench = host();
    expect(join(bench, A)).toBeLessThan(0);
    expect(bench.autoconf.multicast.join(9, ip(GROUP))).toBeLessThan(0);
    for (let i = 0; i < 256; i++) expect(join(bench, `ff05::1:${i.toString(16)}`)).toBe(0);
    expect(join(bench)).toBeLessThan(0);
  });
});

describe('queries, RFC 3810 §6.2', () => {
  test('a general one is answered once, with all groups, within the time that it allows', () => {
    const bench = member();
    join(bench, OTHER);
    bench.run(30 * S);
    const start = bench.nowUs;
    expect(ask(bench, query2(5000))).toBe(Drop.None);
    const sent = bench.run(60 * S);
    expect(said(sent)).toEqual([`report2 is-ex(${GROUP}),is-ex(${OTHER})`]);
    expect(sent[0]!.us - start).toBeLessThanOrEqual(5 * S);
  });

  test('answers are spread by host', () => {
    const us = new Set<number>();
    for (let seed = 1; seed <= 10; seed++) {
      const bench = member(seed);
      ask(bench, query2(10_000));
      us.add(bench.run(60 * S)[0]!.us);
    }
    expect(us.size).toBe(10);
  });

  test('a group one is answered for the group, others are ignored', () => {
    const bench = member();
    ask(bench, query2(1000, OTHER), OTHER);
    expect(bench.run(30 * S)).toEqual([]);
    ask(bench, query2(1000, GROUP), GROUP);
    expect(said(bench.run(30 * S))).toEqual([`report2 is-ex(${GROUP})`]);
  });

  test.each<[string, boolean, string[], string[], string[]]>([
    ['INCLUDE: the common ones', false, [A, B], [B, C], [`report2 is-in(${GROUP} ${B})`]],
    ['INCLUDE: nothing in common, no answer', false, [A], [C], []],
    ['EXCLUDE: those not excluded', true, [A], [A, C], [`report2 is-in(${GROUP} ${C})`]],
    ['EXCLUDE: all excluded, no answer', true, [A], [A], []],
  ])('sources of a group, %s', (_what, isExclude, mine, asked, expected) => {
    const bench = host();
    filter(bench, 1, isExclude, ...mine);
    bench.run(30 * S);
    ask(bench, query2(1000, GROUP, asked), GROUP);
    expect(said(bench.run(30 * S))).toEqual(expected);
  });

  test.each([
    ['hop limit 2', ROUTER, query2(1000), { hopLimit: 2, alert: true }, Drop.NdpInvalid],
    ['no router alert', ROUTER, query2(1000), { hopLimit: 1 }, Drop.NdpInvalid],
    ['a global source', A, query2(1000), { hopLimit: 1, alert: true }, Drop.NdpInvalid],
    ['no source', '::', query2(1000), { hopLimit: 1, alert: true }, Drop.NdpInvalid],
    ['25 bytes, §8.1', ROUTER, `${query1(1000)}00`, { hopLimit: 1, alert: true }, Drop.IcmpTruncated],
    [
      'more sources than there are',
      ROUTER,
      query2(1000, GROUP, [A]).slice(0, -2),
      { hopLimit: 1, alert: true },
      Drop.IcmpTruncated,
    ],
  ])('one with %s is dropped', (_what, source, message, envelope, drop) => {
    const bench = member();
    expect(bench.icmp(source, 'ff02::1', message, envelope)).toBe(drop);
    expect(bench.run(30 * S)).toEqual([]);
  });

  test('a general answer that comes sooner answers for the group too, rule 1', () => {
    const bench = member();
    ask(bench, query2(1));
    ask(bench, query2(30_000, GROUP), GROUP);
    ask(bench, query2(30_000));
    expect(said(bench.run(60 * S))).toEqual([`report2 is-ex(${GROUP})`]);
  });

  test('queries for sources that come before the answer are answered together, rule 5; for the group, rule 4', () => {
    const bench = host();
    filter(bench, 1, false, A, B, C);
    bench.run(30 * S);
    ask(bench, query2(9000, GROUP, [A]), GROUP);
    ask(bench, query2(9000, GROUP, [B]), GROUP);
    expect(said(bench.run(30 * S))).toEqual([`report2 is-in(${GROUP} ${A} ${B})`]);
    ask(bench, query2(9000, GROUP, [A]), GROUP);
    ask(bench, query2(9000, GROUP), GROUP);
    expect(said(bench.run(30 * S))).toEqual([`report2 is-in(${GROUP} ${A} ${B} ${C})`]);
  });

  test("the querier's robustness counts from then on, §9.1", () => {
    const bench = member();
    ask(bench, query2(1, '::', [], 4));
    bench.run(S);
    join(bench, OTHER);
    expect(bench.run(30 * S).length).toBe(4);
  });

  test.each([
    [0x7fff, 32767],
    [0x8000, 32768],
    [0xffff, 0x1fff * 1024],
  ])('code %i means %i ms, §5.1.3', (code, ms) => {
    expect(responseUs(code, 15, 1000)).toBe(ms * 1000);
  });
});

describe('version 1 queriers, RFC 3810 §8.2.1, RFC 2710', () => {
  test('are answered in their way, group by group, to the group', () => {
    const bench = member();
    ask(bench, query1(5000));
    const sent = bench.run(30 * S);
    expect(sent.map((one) => one.text)).toEqual([
      `report1 ${GROUP} ${OWN} > ${GROUP} hop 1 alert to 33:33:00:00:00:77`,
    ]);
  });

  test("another host's report makes ours needless, RFC 2710 §4, and the leave too", () => {
    const bench = member();
    ask(bench, query1(5000));
    bench.icmp('fe80::9', GROUP, report1(GROUP), { hopLimit: 1, alert: true });
    expect(bench.run(30 * S)).toEqual([]);
    bench.autoconf.multicast.leave(2, ip(GROUP));
    expect(bench.run(30 * S)).toEqual([]);
  });

  test('joins are told in version 1, again within 10 s; a leave by the last reporter is told to the routers', () => {
    const bench = host();
    ask(bench, query1(1000));
    join(bench);
    const sent = bench.run(30 * S);
    expect(said(sent)).toEqual([`report1 ${GROUP}`, `report1 ${GROUP}`]);
    expect(sent[1]!.us - sent[0]!.us).toBeLessThanOrEqual(10 * S);
    bench.autoconf.multicast.leave(2, ip(GROUP));
    expect(bench.run(30 * S).map((one) => one.text)).toEqual([
      `done ${GROUP} ${OWN} > ff02::2 hop 1 alert to 33:33:00:00:00:02`,
    ]);
  });

  test('count as present for robustness times the query interval and 10 s, §9.12', () => {
    const bench = member();
    ask(bench, query1(1000));
    const { reporter } = bench.autoconf.mld;
    bench.run(260 * S - 1);
    expect(reporter.versionOn(2)).toBe(1);
    bench.run(1);
    expect(reporter.versionOn(2)).toBe(2);
  });
});

test('random and mutated messages never throw', () => {
  const bench = member();
  const seeds = [query1(1000), query2(1000, GROUP, [A, B]), report1(GROUP)].map(bytesOf);
  fc.assert(
    fc.property(fc.nat(2), fc.array(fc.tuple(fc.nat(70), fc.nat(255))), fc.nat(70), (which, edits, cut) => {
      const message = Uint8Array.from(seeds[which]!);
      for (const [at, value] of edits) if (at > 0) message[at % message.length] = value;
      message[0] = seeds[which]![0]!;
      bench.message(ROUTER, 'ff02::1', message.subarray(0, Math.max(1, message.length - (cut % 30))), {
        hopLimit: 1,
        alert: true,
      });
      bench.run(S);
    }),
  );
  expect(bench.autoconf.multicast.isMember(2, ip(GROUP), ip(A))).toBe(true);
});

test.each(['change', 'general', 'group', 'version 1'])(
  'a host restored with a %s report due goes on alike, to the byte and the µs',
  (what) => {
    const bench = what === 'change' ? host() : member();
    if (what === 'change') filter(bench, 1, false, A, B);
    if (what === 'general') ask(bench, query2(9000));
    if (what === 'group') ask(bench, query2(9000, GROUP, [A]), GROUP);
    if (what === 'version 1') ask(bench, query1(9000));
    bench.sent();
    const twin = bench.twin();
    const sent = bench.run(400 * S);
    expect(sent.length).toBeGreaterThan(0);
    expect(twin.run(400 * S)).toEqual(sent);
    expect(twin.save()).toEqual(bench.save());
  },
);
