import { expect, test } from 'vitest';
import * as dns from '../../wire/dns.ts';
import { nameData, record, targetOf } from '../../wire/dns-data.ts';
import { reverseName } from '../../wire/dns-name.ts';
import { a, aaaa, addressText, answerTo, cname, dataOf, ip, Lab, S, soa } from './kit-dns.ts';

const { Type, Rcode, Flag } = dns;
const WELL_KNOWN = { address: ip('64:ff9b::'), bits: 96 };

/** `AAAA h.example.`: none, `A`: as given; by name and type. */
function lab64(
  answers: (name: string, type: number) => Partial<dns.Message> & { code?: number },
  dns64 = WELL_KNOWN,
): Lab {
  const lab = new Lab({ dns64 });
  lab.upstream.respond = ({ message }) => {
    const { name, type } = message.questions[0]!;
    return answerTo(message, answers(name, type));
  };
  return lab;
}

// RFC 6052 §2.4, with 192.0.2.33.
test.each([
  ['2001:db8::', 32, '2001:db8:c000:221:0:0:0:0'],
  ['2001:db8:100::', 40, '2001:db8:1c0:2:21:0:0:0'],
  ['2001:db8:122::', 48, '2001:db8:122:c000:2:2100:0:0'],
  ['2001:db8:122:300::', 56, '2001:db8:122:3c0:0:221:0:0'],
  ['2001:db8:122:344::', 64, '2001:db8:122:344:c0:2:2100:0'],
  ['2001:db8:122:344::', 96, '2001:db8:122:344:0:0:c000:221'],
  ['64:ff9b::', 96, '64:ff9b:0:0:0:0:c000:221'],
])('with %s/%i 192.0.2.33 is %s, and back', (prefix, bits, expected) => {
  const lab = lab64(
    (name, type) =>
      type === Type.A
        ? { answers: [a(name, '192.0.2.33')] }
        : type === Type.PTR
          ? { answers: [record(name, type, 60, nameData('host.example'))] }
          : { authorities: [soa('example', 60)] },
    { address: ip(prefix), bits },
  );
  const got = lab.ask('h.example', Type.AAAA);
  expect(dataOf(got)).toEqual([expected]);
  const reverse = lab.ask(reverseName(got.answers[0]!.data), Type.PTR);
  expect(reverse.answers.map(targetOf)).toEqual(['33.2.0.192.in-addr.arpa', 'host.example']);
  expect(reverse.questions[0]!.name).toBe(reverseName(got.answers[0]!.data));
});

// RFC 6147 §7.1: H2 has an IPv4 address only.
test('makes AAAA of A where there is none; kept, with the shorter of both times', () => {
  const lab = lab64((name, type) =>
    type === Type.A ? { answers: [a(name, '192.0.2.1', 500)] } : { authorities: [soa('example.com', 100)] },
  );
  const got = lab.ask('H2.example.com', Type.AAAA);
  expect([got.questions[0]!.name, dataOf(got), got.answers[0]!.ttl]).toEqual([
    'H2.example.com',
    ['64:ff9b:0:0:0:0:c000:201'],
    100,
  ]);
  expect(lab.upstream.asked.map(({ message }) => message.questions[0]!.type)).toEqual([Type.AAAA, Type.A]);
  expect(new Set(lab.upstream.asked.map(({ message }) => message.id)).size).toBe(2);
  lab.run(10 * S);
  expect(lab.ask('h2.example.com', Type.AAAA, { edns: 1232 }).answers[0]!.ttl).toBe(90);
  expect(lab.upstream.asked.length).toBe(2);
  expect(lab.server.counters.synthesized).toBe(1);
});

test('without SOA what is made lives at most 600 s', () => {
  const lab = lab64((name, type) => (type === Type.A ? { answers: [a(name, '192.0.2.1', 86_400)] } : {}));
  expect(lab.ask('h2.example.com', Type.AAAA).answers[0]!.ttl).toBe(600);
});

test('an IPv6 address that there is stays the only one', () => {
  const lab = lab64((name, type) => ({
    answers: [type === Type.AAAA ? aaaa(name, '2001:db8::1') : a(name, '192.0.2.1')],
  }));
  expect(dataOf(lab.ask('h1.example.com', Type.AAAA))).toEqual(['2001:db8:0:0:0:0:0:1']);
  expect(lab.upstream.asked.length).toBe(1);
});

test('::ffff:0:0/96 counts as no address, beside others it is left out', () => {
  const lab = lab64((name, type) => {
    if (type === Type.A) return { answers: [a(name, '192.0.2.1')] };
    const mapped = aaaa(name, '::ffff:192.0.2.7');
    return { answers: name.startsWith('both') ? [mapped, aaaa(name, '2001:db8::1')] : [mapped] };
  });
  expect(dataOf(lab.ask('only.example.com', Type.AAAA))).toEqual(['64:ff9b:0:0:0:0:c000:201']);
  expect(dataOf(lab.ask('both.example.com', Type.AAAA))).toEqual(['2001:db8:0:0:0:0:0:1']);
});

test('aliases stay before what is made', () => {
  const lab = lab64((name, type) => ({
    answers: [cname(name, 'real.example.net'), ...(type === Type.A ? [a('real.example.net', '192.0.2.1')] : [])],
    ...(type === Type.AAAA && { authorities: [soa('example.net', 60)] }),
  }));
  const got = lab.ask('www.example.com', Type.AAAA);
  expect(got.answers.map((one) => [one.name, targetOf(one) ?? addressText(one.data)])).toEqual([
    ['www.example.com', 'real.example.net'],
    ['real.example.net', '64:ff9b:0:0:0:0:c000:201'],
  ]);
});

test('no name is no name: nothing is asked further', () => {
  const lab = lab64(() => ({ code: Rcode.NxDomain, authorities: [soa('example.com', 60)] }));
  expect(dns.rcode(lab.ask('none.example.com', Type.AAAA))).toBe(Rcode.NxDomain);
  expect(lab.upstream.asked.length).toBe(1);
});

test('a failure for AAAA says nothing about A', () => {
  const lab = lab64((name, type) => (type === Type.A ? { answers: [a(name, '192.0.2.1')] } : { code: Rcode.ServFail }));
  expect(dataOf(lab.ask('broken.example.com', Type.AAAA))).toEqual(['64:ff9b:0:0:0:0:c000:201']);
});

test('without either address the empty answer is given', () => {
  const lab = lab64(() => ({ authorities: [soa('example.com', 60)] }));
  const got = lab.ask('mx.example.com', Type.AAAA);
  expect([dns.rcode(got), got.answers.length, got.authorities[0]!.type]).toEqual([0, 0, Type.SOA]);
  expect(lab.upstream.asked.length).toBe(2);
});

test('a server that does not answer for A leaves the empty answer', () => {
  const lab = new Lab({ dns64: WELL_KNOWN });
  lab.upstream.respond = ({ message }) =>
    message.questions[0]!.type === Type.AAAA ? answerTo(message, { authorities: [soa('example.com', 60)] }) : undefined;
  lab.ask('localhost', Type.A);
  lab.send(dns.buildMessage({ ...queryFor('h.example.com'), id: 5 }));
  lab.run(6.5 * S);
  const got = dns.parseMessage(lab.received()[0]!)!;
  expect([got.id, dns.rcode(got), got.answers.length]).toEqual([5, 0, 0]);
});

const queryFor = (name: string): dns.Message => ({
  id: 1,
  flags: Flag.RecursionDesired,
  questions: [{ name, type: Type.AAAA, class: 1 }],
  answers: [],
  authorities: [],
  additionals: [],
});

// RFC 6147 §5.5: with DO and CD the guest validates itself.
test.each([
  [0x8000, 0x10, 0],
  [0x8000, 0, 1],
  [0, 0x10, 1],
])('DO %i, CD %i: %i made', (ednsFlags, cd, made) => {
  const lab = lab64((name, type) =>
    type === Type.A ? { answers: [a(name, '192.0.2.1')], flags: 0x20 } : { authorities: [soa('example.com', 60)] },
  );
  const got = lab.ask('h.example.com', Type.AAAA, { edns: 1232, ednsFlags, flags: Flag.RecursionDesired | cd });
  expect(got.answers.length).toBe(made);
  expect(got.flags & 0x20).toBe(0); // what is made is not authentic
});

test('ipv4only.arpa is known here, RFC 8880', () => {
  const lab = lab64(() => ({}));
  expect(dataOf(lab.ask('ipv4only.arpa', Type.A))).toEqual(['192.0.0.170', '192.0.0.171']);
  expect(dataOf(lab.ask('ipv4only.arpa', Type.AAAA))).toEqual(['64:ff9b:0:0:0:0:c000:aa', '64:ff9b:0:0:0:0:c000:ab']);
  expect(dns.rcode(lab.ask('x.ipv4only.arpa', Type.A))).toBe(Rcode.NxDomain);
  expect(lab.upstream.asked).toEqual([]);
});

test('without DNS64 nothing is made, and ipv4only.arpa is forwarded', () => {
  const lab = new Lab();
  lab.upstream.respond = ({ message }) => answerTo(message, {});
  expect(lab.ask('ipv4only.arpa', Type.AAAA).answers).toEqual([]);
  expect(lab.upstream.asked.map(({ message }) => message.questions[0]!.type)).toEqual([Type.AAAA]);
});

test('the reverse of a guest behind the prefix is known here', () => {
  const lab = lab64(() => ({}));
  lab.server.set('web', ip('10.0.0.15'));
  const name = reverseName(Uint8Array.from([0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 15]));
  expect(lab.ask(name, Type.PTR).answers.map(targetOf)).toEqual(['15.0.0.10.in-addr.arpa', 'web.weft.internal']);
  expect(lab.upstream.asked).toEqual([]);
});

test('what was cut is cut, and made over TCP', () => {
  const lab = new Lab({ dns64: WELL_KNOWN });
  lab.upstream.respond = ({ message, isTcp }) => {
    const { name, type } = message.questions[0]!;
    if (!isTcp && type === Type.A) return answerTo(message, { flags: Flag.Truncated });
    return answerTo(message, type === Type.A ? { answers: [a(name, '192.0.2.1')] } : {});
  };
  const cut = lab.ask('many.example.com', Type.AAAA);
  expect([cut.flags & Flag.Truncated, cut.questions[0]!.type]).toEqual([Flag.Truncated, Type.AAAA]);
  const client = lab.connect();
  client.send(dns.buildMessage(queryFor('many.example.com')));
  lab.run();
  expect(client.received().map(dataOf)).toEqual([['64:ff9b:0:0:0:0:c000:201']]);
});
