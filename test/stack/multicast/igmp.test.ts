import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Drop } from '../../../core/drop.ts';
import { hexOf } from '../../kit/hex.ts';
import { Bench, ip, S, type Sent } from '../kit-nd.ts';

const OWN = '10.0.0.1';
const ROUTER = '10.0.0.254';
const GROUP = '239.1.2.3';
const GROUP_HEX = 'ef010203';
const ALL = '224.0.0.1';
const [A, B] = ['10.0.0.10', '10.0.0.11'];

function host(): Bench {
  const bench = new Bench();
  bench.own(OWN, 24);
  return bench;
}

function member(): Bench {
  const bench = host();
  bench.autoconf.multicast.join(2, ip(GROUP));
  bench.run(30 * S);
  return bench;
}

const texts = (sent: Sent[]): string[] => sent.map((one) => one.text);
const ENVELOPE = 'ttl 1 tos 192 alert';
const report3 = (record: string): string => `report3 ${record} ${OWN} > 224.0.0.22 ${ENVELOPE} to 01:00:5e:00:00:16`;
const query3 = (code: string, group = '00000000', rest = '027d0000'): string => `11${code}0000${group}${rest}`;

describe('version 3, RFC 3376', () => {
  test('a join is told at once and once more within a second: TTL 1, TOS 0xc0, router alert, §4, §5.1', () => {
    const bench = host();
    bench.autoconf.multicast.join(2, ip(GROUP));
    const sent = bench.run(30 * S);
    expect(texts(sent)).toEqual([report3(`to-ex(${GROUP})`), report3(`to-ex(${GROUP})`)]);
    expect(sent[1]!.us).toBeLessThanOrEqual(S);
  });

  test('from 0.0.0.0 while there is no address, §4.2.13', () => {
    const bench = new Bench();
    bench.autoconf.multicast.join(2, ip(GROUP));
    expect(bench.texts()[0]).toContain(' 0.0.0.0 > 224.0.0.22 ');
  });

  test('all-hosts is never told, and everybody is in it, §5', () => {
    const bench = host();
    bench.autoconf.multicast.join(2, ip(ALL));
    expect(bench.run(30 * S)).toEqual([]);
    bench.autoconf.multicast.leave(2, ip(ALL));
    expect(bench.autoconf.multicast.isMember(2, ip(ALL), ip(A))).toBe(true);
    expect(bench.autoconf.multicast.isMember(2, ip(GROUP), ip(A))).toBe(false);
  });

  test('a general query is answered within its time, §5.2', () => {
    const bench = member();
    const start = bench.nowUs;
    expect(bench.igmp(ROUTER, ALL, query3('32'))).toBe(Drop.None);
    const sent = bench.run(30 * S);
    expect(texts(sent)).toEqual([report3(`is-ex(${GROUP})`)]);
    expect(sent[0]!.us - start).toBeLessThanOrEqual(5 * S);
  });

  test('a group and source query is answered for those, §5.2', () => {
    const bench = host();
    bench.autoconf.multicast.setFilter(2, ip(GROUP), 1, false, [ip(A), ip(B)]);
    bench.run(30 * S);
    bench.igmp(ROUTER, GROUP, query3('0a', GROUP_HEX, '027d00010a00000b'));
    expect(texts(bench.run(30 * S))).toEqual([report3(`is-in(${GROUP} ${B})`)]);
  });

  test('many groups are split into reports that fit 576 bytes', () => {
    const bench = host();
    for (let i = 0; i < 200; i++) bench.autoconf.multicast.join(2, ip(`239.1.0.${i}`));
    bench.run(30 * S);
    bench.igmp(ROUTER, ALL, query3('01'));
    const sent = bench.run(S);
    expect(sent.length).toBe(3);
    expect(sent.every((one) => one.bytes.length <= 576 + 14)).toBe(true);
  });

  test.each([
    ['no router alert, §9.1', query3('32'), { alert: false }, Drop.Ip4Option],
    ['a wrong checksum, §4.1.2', query3('32'), { isSealed: true }, Drop.IcmpChecksum],
    ['9 bytes, §7.1', `${query3('32').slice(0, 18)}`, {}, Drop.IcmpTruncated],
    ['4 bytes', '11320000', {}, Drop.IcmpTruncated],
    ['more sources than there are', query3('32', GROUP_HEX, '027d00020a00000b'), {}, Drop.IcmpTruncated],
    ['a group that is none', query3('32', '0a000001'), {}, Drop.BadTarget],
  ])('a query with %s is dropped', (_what, message, options, drop) => {
    const bench = member();
    expect(bench.igmp(ROUTER, ALL, message, options)).toBe(drop);
    expect(bench.run(30 * S)).toEqual([]);
  });
});

describe('older queriers, RFC 3376 §7.2', () => {
  const query2 = `11640000${'00000000'}`;
  const query1 = `11000000${'00000000'}`;
  const old = (type: string): string => `${type} ${GROUP} ${OWN} > ${GROUP} ${ENVELOPE} to 01:00:5e:01:02:03`;

  test('version 2: group by group, to the group, within its time', () => {
    const bench = member();
    const start = bench.nowUs;
    bench.igmp(ROUTER, ALL, query2);
    const sent = bench.run(60 * S);
    expect(texts(sent)).toEqual([old('report2')]);
    expect(sent[0]!.us - start).toBeLessThanOrEqual(10 * S);
  });

  test('version 1: its own report, and no leave, RFC 2236 §4', () => {
    const bench = member();
    expect(bench.igmp(ROUTER, ALL, query1, { alert: false })).toBe(Drop.None);
    expect(texts(bench.run(60 * S))).toEqual([old('report1')]);
    bench.autoconf.multicast.leave(2, ip(GROUP));
    expect(bench.run(30 * S)).toEqual([]);
  });

  test('version 2 leaves are told to all routers by the last reporter, RFC 2236 §3', () => {
    const bench = member();
    bench.igmp(ROUTER, ALL, query2);
    bench.run(60 * S);
    bench.autoconf.multicast.leave(2, ip(GROUP));
    expect(texts(bench.run(30 * S))).toEqual([`leave ${GROUP} ${OWN} > 224.0.0.2 ${ENVELOPE} to 01:00:5e:00:00:02`]);
  });

  test("another host's report makes ours needless, RFC 2236 §3", () => {
    const bench = member();
    bench.igmp(ROUTER, ALL, query2);
    bench.igmp('10.0.0.9', GROUP, `16000000${GROUP_HEX}`);
    expect(bench.run(60 * S)).toEqual([]);
  });

  test('joins are told again within 10 s, RFC 2236 §3', () => {
    const bench = host();
    bench.igmp(ROUTER, ALL, query2);
    bench.autoconf.multicast.join(2, ip(GROUP));
    const sent = bench.run(60 * S);
    expect(texts(sent)).toEqual([old('report2'), old('report2')]);
    expect(sent[1]!.us).toBeLessThanOrEqual(10 * S);
  });

  test('are forgotten after 260 s, the oldest first in rank, §8.12', () => {
    const bench = member();
    const { reporter } = bench.autoconf.igmp;
    bench.igmp(ROUTER, ALL, query1, { alert: false });
    bench.run(10 * S);
    bench.igmp(ROUTER, ALL, query2);
    expect(reporter.versionOn(2)).toBe(1);
    bench.run(250 * S);
    expect(reporter.versionOn(2)).toBe(2);
    bench.run(10 * S);
    expect(reporter.versionOn(2)).toBe(3);
  });
});

test('random and mutated messages never throw', () => {
  const bench = member();
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.boolean(), fc.boolean(), (junk, alert, isQuery) => {
      if (isQuery) junk[0] = 0x11;
      bench.igmp(ROUTER, ALL, hexOf(junk), { alert, isSealed: junk.length < 4 });
      bench.run(S);
    }),
  );
  expect(bench.autoconf.multicast.isMember(2, ip(GROUP), ip(A))).toBe(true);
});

test('a host restored with a report due goes on alike, to the byte and the µs', () => {
  const bench = member();
  bench.igmp(ROUTER, ALL, query3('64'));
  const twin = bench.twin();
  const sent = bench.run(60 * S);
  expect(sent.length).toBe(1);
  expect(twin.run(60 * S)).toEqual(sent);
  expect(twin.save()).toEqual(bench.save());
});
