import '../kit/seed.ts';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DnsQuery, NO_QUERY, QUERY_BYTES_MAX } from '../../service/dns-query.ts';
import { DnsScan } from '../../service/dns-scan.ts';
import * as dns from '../../wire/dns.ts';
import { a, aaaa, answerTo, cname, ip, Lab, queryOf, S, soa, txt } from './kit-dns.ts';

const { Type } = dns;
const SEEDS: readonly Uint8Array[] = [
  queryOf('www.example.com', Type.A),
  queryOf('a.b.c.weft.internal', Type.AAAA, {
    edns: 4096,
    ednsFlags: 0x8000,
    options: [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8],
  }),
  queryOf('1.0.0.10.in-addr.arpa', Type.PTR, { edns: 0 }),
  queryOf('', Type.NS, { edns: 512, options: [0, 8, 0, 4, 0, 1, 0, 0] }),
  queryOf('localhost', 255),
];

/** A message with some bytes changed, cut or lengthened. */
const mutated = (seeds: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(
      fc.integer({ min: 0, max: seeds.length - 1 }),
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
      fc.integer({ min: -40, max: 40 }),
    )
    .map(([which, changes, longer]) => {
      const seed = seeds[which]!;
      const bytes = new Uint8Array(Math.max(0, seed.length + longer));
      bytes.set(seed.subarray(0, bytes.length));
      for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value;
      return bytes;
    });

test('whatever guests send is answered at most once, and leaves nothing behind', () => {
  const lab = new Lab({ dns64: { address: ip('64:ff9b::'), bits: 96 } }).meet();
  lab.upstream.respond = ({ message }) => (message ? answerTo(message, { code: 3 }) : undefined);
  const all = fc.oneof(
    { weight: 4, arbitrary: mutated(SEEDS) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 600 }) },
  );
  fc.assert(
    fc.property(all, (bytes) => {
      lab.send(bytes);
      lab.run(1000);
      const got = lab.received();
      expect(got.length).toBeLessThanOrEqual(1);
      for (const one of got) {
        expect(one.length).toBeLessThanOrEqual(1232);
        expect(Array.from(one.subarray(0, 2))).toEqual(Array.from(bytes.subarray(0, 2)));
        expect(one[2]! & 0x80).toBe(0x80);
        expect(dns.parseMessage(one)).toBeDefined();
      }
    }),
    { numRuns: 3000 },
  );
  lab.run(10 * S);
  expect(lab.server.sizes.waiting).toBe(0);
  const { queries, malformed } = lab.server.counters;
  expect(queries).toBe(3001);
  expect(malformed).toBeGreaterThan(100);
});

test('what a guest sends that parses as a query is read as the parser of messages reads it', () => {
  const query = new DnsQuery(1);
  fc.assert(
    fc.property(mutated(SEEDS), (bytes) => {
      const padded = new Uint8Array(bytes.length + 7).fill(0xa5);
      padded.set(bytes, 3);
      const code = query.read(padded, 3, bytes.length);
      if (code !== 0) return;
      const message = dns.parseMessage(bytes)!;
      expect(message).toBeDefined();
      expect(message.questions).toMatchObject([{ type: query.type, class: query.class }]);
      expect(query.id).toBe(message.id);
      expect(query.hasEdns).toBe(message.additionals.length === 1);
      expect(query.end).toBeLessThanOrEqual(Math.min(bytes.length, QUERY_BYTES_MAX));
    }),
    { numRuns: 5000 },
  );
  expect(query.read(new Uint8Array(11), 0, 11)).toBe(NO_QUERY);
});

const asked = dns.parseMessage(queryOf('www.example.com', Type.AAAA, { edns: 1232 }))!;
const ANSWERS: readonly Uint8Array[] = [
  answerTo(asked, { answers: [a('www.example.com', '192.0.2.1'), a('www.example.com', '192.0.2.2')] }),
  answerTo(asked, { answers: [cname('www.example.com', 'x.example.net'), aaaa('x.example.net', '::ffff:1.2.3.4')] }),
  answerTo(asked, { code: 3, authorities: [soa('example.com', 60)] }),
  answerTo(asked, { answers: [txt('www.example.com', 900)], flags: dns.Flag.Truncated }),
  answerTo(asked, { code: 2 }),
];

test('whatever a server sends, guests get a message that can be read, or an error', () => {
  for (const dns64 of [undefined, { address: ip('64:ff9b::'), bits: 96 }]) {
    const lab = new Lab({ ...(dns64 && { dns64 }) }).meet();
    let n = 0;
    fc.assert(
      fc.property(mutated(ANSWERS), fc.boolean(), (bytes, isAsked) => {
        const name = `www${n++}`.slice(-3).padStart(3, 'w'); // as long as that of the answers
        lab.upstream.respond = ({ message }) => {
          const reply = bytes.slice();
          // Identification and question are right, or nothing would be read any further.
          if (reply.length >= 12) {
            reply[0] = message.id >> 8;
            reply[1] = message.id;
            if (isAsked) reply.set(buildQuestion(message).subarray(0, reply.length - 12), 12);
          }
          return reply;
        };
        lab.send(queryOf(`${name}.example.com`, Type.AAAA, { id: n & 0xffff, ...(n % 2 === 0 ? { edns: 1232 } : {}) }));
        lab.run(1000);
        let got = lab.received();
        if (got.length === 0) {
          lab.run(7 * S);
          got = lab.received();
        }
        expect(got.length).toBe(1);
        expect(got[0]!.length).toBeLessThanOrEqual(1232);
        lab.server.clear();
      }),
      { numRuns: 1500 },
    );
    expect(lab.server.sizes.waiting).toBe(0);
    expect(lab.server.counters.answers).toBeGreaterThan(200);
  }
});

function buildQuestion(message: dns.Message): Uint8Array {
  return dns.buildMessage({ ...message, answers: [], authorities: [], additionals: [] }).subarray(12);
}

test('what a scan passes is as long as the parser of messages finds it', () => {
  const scan = new DnsScan();
  let passed = 0;
  fc.assert(
    fc.property(mutated(ANSWERS), (bytes) => {
      const message = dns.parseMessage(bytes);
      const isRead = scan.read(bytes, 0, bytes.length);
      if (
        message &&
        message.questions.length === 1 &&
        message.additionals.filter((r) => r.type === Type.OPT).length < 2
      ) {
        const opts = [...message.answers, ...message.authorities, ...message.additionals].filter(
          (r) => r.type === Type.OPT,
        );
        if (opts.every((r) => message.additionals.includes(r) && r.name === '')) expect(isRead).toBe(true);
      }
      if (!isRead) return;
      passed++;
      expect(scan.end).toBeLessThanOrEqual(bytes.length);
      expect(scan.ttlMin).toBeGreaterThanOrEqual(0);
      for (let i = 0; i < Math.min(scan.ttls, 256); i++) expect(scan.ttlAt[i]! + 6).toBeLessThanOrEqual(scan.end);
    }),
    { numRuns: 5000 },
  );
  expect(passed).toBeGreaterThan(500);
});
