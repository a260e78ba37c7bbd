import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as dns from '../../wire/dns.ts';
import * as data from '../../wire/dns-data.ts';
import { isBelow, isName, labelsOf, nameBytes, nameKey, readName, reverseName } from '../../wire/dns-name.ts';
import { bytesOf, hexOf } from '../kit/hex.ts';

const { Type } = dns;

// RFC 1035 §4.1.4: F.ISI.ARPA at 20, FOO.F.ISI.ARPA at 40, ARPA at 64, the root at 92.
const EXAMPLE = new Uint8Array(93);
EXAMPLE.set(bytesOf('0146 03495349 0441525041 00'), 20);
EXAMPLE.set(bytesOf('03464f4f c014'), 40);
EXAMPLE.set(bytesOf('c01a'), 64);

describe('a name', () => {
  test.each([
    [20, 'F.ISI.ARPA', 32],
    [40, 'FOO.F.ISI.ARPA', 46],
    [64, 'ARPA', 66],
    [92, '', 93],
  ])('at %s of the example in RFC 1035 §4.1.4 is %s', (at, name, next) => {
    expect(readName(EXAMPLE, at)).toEqual({ name, next });
  });

  test.each([
    ['points to itself', 'c000', 0],
    ['points forwards', 'c002 00', 0],
    ['points in a circle', '0161 c000', 0],
    ['is cut in a label', '0361', 0],
    ['is cut before its end', '0161', 0],
    ['is cut in a pointer', '00 c0', 1],
    ['has a label of a kind that there is none', '40 00', 0],
    ['begins behind the message', '00', 1],
    ['is longer than 255 bytes', `${'3f'.padEnd(128, '61').repeat(4)}00`, 0],
  ])('that %s is refused', (_what, hex, at) => {
    expect(readName(bytesOf(hex), at)).toBeUndefined();
  });

  test.each([
    ['a\\.b.c', '03612e620163 00'],
    ['a\\\\.c', '02615c0163 00'],
    ['\\000\\255.x', '0200ff0178 00'],
    ['', '00'],
    ['.', '00'],
    ['x.', '0178 00'],
  ])('%j is written with its escapes, RFC 1035 §5.1', (text, hex) => {
    expect(hexOf(nameBytes(text)!)).toBe(hex.replace(/ /g, ''));
    expect(readName(nameBytes(text)!, 0)!.name).toBe(text === '.' ? '' : text.replace(/\.$/, ''));
  });

  test.each(['a..b', '.a', 'x'.repeat(64), 'a\\', 'a\\25', 'a\\256', `${'a.'.repeat(127)}b`])('%j is none', (text) => {
    expect(isName(text)).toBe(false);
  });

  test('of 255 bytes is one, and of 63 in a label', () => {
    expect(isName('a.'.repeat(127))).toBe(true);
    expect(labelsOf('x'.repeat(63))).toHaveLength(1);
  });

  test('is compared without case of ASCII, RFC 4343', () => {
    expect(nameKey('EXAMPLE.Org.')).toBe('example.org');
    expect(isBelow('a.EXAMPLE.org', 'example.ORG')).toBe(true);
    expect(isBelow('anexample.org', 'example.org')).toBe(false);
    expect(isBelow('org', '')).toBe(true);
  });

  test('of an address is that of RFC 1035 §3.5 and RFC 3596 §2.5', () => {
    expect(reverseName(Uint8Array.of(10, 2, 0, 52))).toBe('52.0.2.10.in-addr.arpa');
    expect(reverseName(bytesOf('4321 0000 0001 0002 0003 0004 0567 89ab'))).toBe(
      'b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa',
    );
  });
});

const soa = Uint8Array.from([
  ...nameBytes('ns.a.org')!,
  ...nameBytes('root.a.org')!,
  ...new Array<number>(16).fill(1),
  0,
  0,
  1,
  0,
]);
const mx = Uint8Array.from([0, 10, ...nameBytes('mail.a.org')!]);
const MESSAGE: dns.Message = {
  id: 0xbeef,
  flags: dns.Flag.Response | dns.Flag.RecursionDesired,
  questions: [{ name: 'www.a.org', type: Type.A, class: 1 }],
  answers: [
    data.record('www.a.org', Type.CNAME, 60, data.nameData('web.a.org')),
    data.record('web.a.org', Type.A, 60, Uint8Array.of(10, 0, 0, 1)),
    data.record('web.a.org', Type.AAAA, 60, new Uint8Array(16).fill(2), true),
    data.record('a.org', Type.MX, 60, mx),
    data.record(
      '_x._tcp.a.org',
      Type.SRV,
      60,
      data.serviceData({ priority: 1, weight: 2, port: 443, target: 'web.a.org' }),
    ),
    data.record('a.org', Type.TXT, 60, Uint8Array.of(1, 65, 0, 2, 66, 67)),
    data.record('a.org', Type.HTTPS, 60, Uint8Array.of(0, 1, 0, 0, 3, 0, 2, 1, 187)),
    data.record('a.org', Type.NSEC, 60, data.nsecData('a.org', [1, 28, 255])),
    data.record('a.org', 65280, 0xffffffff, Uint8Array.of(1, 2, 3)),
  ],
  authorities: [data.record('a.org', Type.SOA, 512, soa), data.record('a.org', Type.NS, 9, data.nameData('ns.a.org'))],
  additionals: [data.ednsRecord(1232)],
};

describe('a message', () => {
  test('is read as it was written', () => {
    const bytes = dns.buildMessage(MESSAGE);
    expect(dns.parseMessage(bytes)).toEqual(MESSAGE);
    expect(dns.isResponse(MESSAGE)).toBe(true);
  });

  test('has its names compressed, but not those in an SRV record, RFC 1035 §4.1.4, RFC 2782', () => {
    const bytes = dns.buildMessage({
      ...MESSAGE,
      answers: MESSAGE.answers.slice(0, 1),
      authorities: [],
      additionals: [],
    });
    expect(hexOf(bytes)).toBe(
      `beef8100 0001 0001 0000 0000 03777777 0161 036f7267 00 0001 0001
       c00c 0005 0001 0000003c 0006 03776562 c010`.replace(/\s/g, ''),
    );
    const twice = dns.buildMessage({
      ...MESSAGE,
      answers: MESSAGE.answers.slice(4, 5),
      authorities: [],
      additionals: [],
    });
    expect(hexOf(twice)).toContain(hexOf(nameBytes('web.a.org')!));
  });

  test('with a compressed name in an SRV record is read nevertheless, RFC 6762 §18.14', () => {
    const hex = '0000 8400 0000 0001 0000 0000 0161 00 0021 0001 00000078 0008 0000 0000 0050 c00c';
    expect(data.serviceOf(dns.parseMessage(bytesOf(hex))!.answers[0]!)).toEqual({
      priority: 0,
      weight: 0,
      port: 80,
      target: 'a',
    });
  });

  test('cut anywhere is refused', () => {
    const bytes = dns.buildMessage(MESSAGE);
    for (let cut = 0; cut < bytes.length; cut++) expect(dns.parseMessage(bytes.slice(0, cut))).toBeUndefined();
    expect(dns.parseMessage(Uint8Array.from([...bytes, 1, 2]))).toEqual(MESSAGE);
  });

  test.each([
    ['an A of 3 bytes', Type.A, '000003'],
    ['an AAAA of 4 bytes', Type.AAAA, '00000000'],
    ['a CNAME with bytes after it', Type.CNAME, '0000'],
    ['a CNAME that leaves its data', Type.CNAME, '0261'],
    ['an MX without a name', Type.MX, '0001'],
    ['an SOA that is short', Type.SOA, '0000 00000000'],
  ])('with %s is refused', (_what, type, hex) => {
    const value = bytesOf(hex);
    const head = bytesOf('0000 8000 0000 0001 0000 0000 00');
    const bytes = Uint8Array.from([...head, 0, type, 0, 1, 0, 0, 0, 1, 0, value.length, ...value]);
    expect(dns.parseMessage(bytes)).toBeUndefined();
  });

  test('that promises more than 512 records is refused before they are read', () => {
    expect(dns.parseMessage(bytesOf('0000 8000 0000 0201 0000 0000'))).toBeUndefined();
  });

  test('of random bytes is read or refused, and what is read can be written and read again', () => {
    const good = dns.buildMessage(MESSAGE);
    const noise = fc.tuple(fc.uint8Array({ maxLength: 80 }), fc.nat(good.length));
    fc.assert(
      fc.property(noise, ([bytes, at]) => {
        const damaged = good.slice();
        damaged.set(bytes.subarray(0, good.length - at), at);
        for (const one of [bytes, damaged]) {
          const message = dns.parseMessage(one);
          if (!message) continue;
          for (const r of message.answers) {
            data.targetOf(r);
            data.serviceOf(r);
            data.textsOf(r);
            data.preferenceOf(r);
            if (r.type === Type.NSEC) data.typesOf(r);
          }
          expect(dns.parseMessage(dns.buildMessage(message))).toEqual(message);
        }
      }),
      { numRuns: 500 },
    );
  });
});

test('data are read by type', () => {
  const [cname, , , mail, service, text, , nsec] = MESSAGE.answers;
  expect(data.targetOf(cname!)).toBe('web.a.org');
  expect(data.targetOf(mail!)).toBe('mail.a.org');
  expect(data.preferenceOf(mail!)).toBe(10);
  expect(data.serviceOf(service!)).toEqual({ priority: 1, weight: 2, port: 443, target: 'web.a.org' });
  expect(data.textsOf(text!).map(hexOf)).toEqual(['41', '', '4243']);
  expect(data.typesOf(nsec!)).toEqual([1, 28, 255]);
  // RFC 4034 §4.3: A MX RRSIG NSEC TYPE1234
  const example = bytesOf(`04686f7374 076578616d706c65 03636f6d 00 0006400100000003 041b ${'00'.repeat(26)} 20`);
  expect(data.typesOf(data.record('alfa.example.com', Type.NSEC, 1, example))).toEqual([1, 15, 46, 47, 1234]);
  expect(data.negativeTtlOf(MESSAGE.authorities[0]!)).toBe(256);
});
