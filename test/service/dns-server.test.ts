import { expect, test } from 'vitest';
import * as dns from '../../wire/dns.ts';
import { readName } from '../../wire/dns-name.ts';
import { a, answerTo, dataOf, ip, Lab, queryOf, S, SERVER6, soa, txt } from './kit-dns.ts';

const { Type, Flag, Rcode } = dns;

test('forwards a question and gives the answer to the guest, over IPv4 and IPv6', () => {
  for (const to of [ip('10.0.0.2'), SERVER6]) {
    const lab = new Lab();
    lab.upstream.respond = ({ message }) => answerTo(message, { answers: [a('example.com', '192.0.2.1')] });
    const got = lab.ask('example.com', Type.A, { to });
    expect([got.id, dns.rcode(got), dataOf(got)]).toEqual([0x1234, 0, ['192.0.2.1']]);
    expect(got.additionals).toEqual([]); // RFC 6891 §7: no OPT for who sent none
    expect(lab.upstream.asked[0]!.message.additionals[0]).toMatchObject({ type: Type.OPT, class: 1232 });
    expect(lab.server.counters).toMatchObject({ queries: 1, forwarded: 1, answers: 1, hits: 0 });
  }
});

test('asks under identifications that do not repeat the guest’s', () => {
  const lab = new Lab().meet();
  for (let i = 0; i < 50; i++) lab.send(queryOf(`n${i}.example`, Type.A, { id: 7 }));
  lab.run();
  const ids = lab.upstream.asked.map(({ message }) => message.id);
  expect(new Set(ids).size).toBe(50);
  expect(ids.filter((id) => id === 7).length).toBeLessThan(2);
});

test('gives a kept answer with the guest’s identification and case, and its TTL counted down', () => {
  const lab = new Lab();
  lab.upstream.respond = ({ message }) =>
    answerTo(message, { answers: [a('www.example.com', '192.0.2.1', 100), a('www.example.com', '192.0.2.2', 90)] });
  lab.ask('www.example.com', Type.A);
  lab.run(30 * S);
  const got = lab.ask('wWw.eXample.COM', Type.A, { id: 99, edns: 4096 });
  expect(got.id).toBe(99);
  expect(got.questions[0]!.name).toBe('wWw.eXample.COM');
  expect(got.answers.map((one) => one.ttl)).toEqual([70, 60]);
  expect(got.additionals[0]).toMatchObject({ type: Type.OPT, class: 1232, ttl: 0 });
  expect(lab.upstream.asked.length).toBe(1);
  lab.run(61 * S); // the shorter one is over
  lab.ask('www.example.com', Type.A);
  expect(lab.upstream.asked.length).toBe(2);
  expect(lab.server.counters.hits).toBe(1);
});

test('keeps apart what DO, CD, type and class change', () => {
  const lab = new Lab();
  lab.upstream.respond = ({ message }) => answerTo(message, { answers: [a('example.com', '192.0.2.1')] });
  lab.ask('example.com', Type.A);
  lab.ask('example.com', Type.A, { edns: 1232, ednsFlags: 0x8000 });
  lab.ask('example.com', Type.A, { flags: Flag.RecursionDesired | 0x10 });
  lab.ask('example.com', Type.MX);
  lab.ask('example.com', Type.A, { class: 3 });
  expect(lab.upstream.asked.length).toBe(5);
  expect(lab.upstream.asked[1]!.message.additionals[0]!.ttl).toBe(0x8000);
});

test.each([
  ['no such name', Rcode.NxDomain],
  ['no data', Rcode.NoError],
])('keeps "%s" for the lower of the SOA’s TTL and minimum', (_, code) => {
  const lab = new Lab();
  lab.upstream.respond = ({ message }) => answerTo(message, { code, authorities: [soa('example.com', 40, 300)] });
  lab.ask('none.example.com', Type.A);
  lab.run(38 * S);
  expect(dns.rcode(lab.ask('none.example.com', Type.A))).toBe(code);
  expect(lab.upstream.asked.length).toBe(1);
  lab.run(3 * S);
  lab.ask('none.example.com', Type.A);
  expect(lab.upstream.asked.length).toBe(2);
});

test('does not keep what says nothing without an SOA, nor a TTL of 0', () => {
  const lab = new Lab();
  lab.upstream.respond = ({ message }) =>
    answerTo(
      message,
      message.questions[0]!.name === 'zero.example' ? { answers: [a('zero.example', '192.0.2.1', 0)] } : {},
    );
  for (const name of ['zero.example', 'empty.example']) {
    lab.ask(name, Type.A);
    lab.ask(name, Type.A);
  }
  expect(lab.upstream.asked.length).toBe(4);
});

test('guests that ask the same at once wait for one answer', () => {
  const lab = new Lab().meet();
  const sockets = [lab.socket(), lab.socket(), lab.socket()];
  for (const [i, h] of sockets.entries()) lab.send(queryOf('Same.example', Type.A, { id: i + 1 }), undefined, h);
  lab.send(queryOf('sAME.example', Type.A, { id: 1 }), undefined, sockets[0]!); // again: one answer all the same
  lab.run();
  expect(lab.upstream.asked.length).toBe(1);
  lab.upstream.give(0, answerTo(lab.upstream.asked[0]!.message, { answers: [a('same.example', '192.0.2.9')] }));
  lab.run();
  for (const [i, h] of sockets.entries()) {
    const got = lab.received(h).map((bytes) => dns.parseMessage(bytes)!);
    expect(got.map((one) => [one.id, dataOf(one), one.questions[0]!.name])).toEqual([
      [i + 1, ['192.0.2.9'], 'Same.example'],
    ]);
  }
  expect(lab.server.counters).toMatchObject({ forwarded: 1, joined: 2 });
});

test('asks the next server after 2 s, three times in all, then fails', () => {
  const lab = new Lab();
  lab.upstream.count = 2;
  lab.send(queryOf('slow.example', Type.A));
  lab.run(1.9 * S);
  expect(lab.upstream.asked.map((one) => one.server)).toEqual([0]);
  lab.run(0.2 * S);
  expect(lab.upstream.asked.map((one) => one.server)).toEqual([0, 1]);
  lab.run(3.8 * S);
  expect(lab.upstream.asked.map((one) => one.server)).toEqual([0, 1, 0]);
  expect(lab.received()).toEqual([]);
  lab.run(0.2 * S);
  expect(lab.received().map((bytes) => dns.rcode(dns.parseMessage(bytes)!))).toEqual([Rcode.ServFail]);
  expect(lab.server.counters).toMatchObject({ timeouts: 3, retries: 2, failed: 1 });
  expect(lab.server.sizes.waiting).toBe(0);
});

test('takes a late answer of a server that was asked before', () => {
  const lab = new Lab();
  lab.upstream.count = 2;
  lab.send(queryOf('late.example', Type.A));
  lab.run(2.5 * S);
  lab.upstream.give(0, answerTo(lab.upstream.asked[0]!.message, { answers: [a('late.example', '192.0.2.1')] }));
  lab.run();
  expect(lab.received().length).toBe(1);
});

test('the server that answered is asked first from then on', () => {
  const lab = new Lab();
  lab.upstream.count = 3;
  lab.upstream.respond = ({ server, message }) =>
    server === 0 ? undefined : answerTo(message, { answers: [a(message.questions[0]!.name, '192.0.2.1')] });
  lab.send(queryOf('one.example', Type.A));
  lab.run(3 * S);
  expect(lab.received().length).toBe(1);
  expect(dataOf(lab.ask('two.example', Type.A))).toEqual(['192.0.2.1']);
  expect(lab.upstream.asked.map((one) => one.server)).toEqual([0, 1, 1]);
});

test('a failure of one server is not the last word, of all it is', () => {
  const lab = new Lab();
  lab.upstream.count = 2;
  lab.upstream.respond = ({ server, message }) =>
    server === 0
      ? answerTo(message, { code: Rcode.Refused })
      : answerTo(message, { answers: [a('example.com', '192.0.2.1')] });
  expect(dataOf(lab.ask('example.com', Type.A))).toEqual(['192.0.2.1']);
  lab.upstream.respond = ({ message }) => answerTo(message, { code: Rcode.ServFail });
  const got = lab.ask('other.example', Type.A);
  expect(dns.rcode(got)).toBe(Rcode.ServFail);
  const before = lab.upstream.asked.length;
  lab.ask('other.example', Type.A);
  expect(lab.upstream.asked.length).toBe(before); // RFC 9520: for a second
  lab.run(1.1 * S);
  lab.ask('other.example', Type.A);
  expect(lab.upstream.asked.length).toBeGreaterThan(before);
});

test('a refused port is not waited for', () => {
  const lab = new Lab();
  lab.upstream.count = 2;
  lab.send(queryOf('example.com', Type.A));
  lab.run();
  lab.upstream.user!.failed(0, false);
  expect(lab.upstream.asked.map((one) => one.server)).toEqual([0, 1]);
  lab.upstream.user!.failed(1, false);
  lab.run();
  expect(lab.received().map((bytes) => dns.rcode(dns.parseMessage(bytes)!))).toEqual([Rcode.ServFail]);
});

test('without a server it fails at once, says so once, and goes on when there is one', () => {
  const lab = new Lab();
  lab.upstream.count = 0;
  for (let i = 0; i < 3; i++) expect(dns.rcode(lab.ask('example.com', Type.A))).toBe(Rcode.ServFail);
  expect(lab.said.length).toBe(1);
  lab.upstream.count = 1;
  lab.upstream.generation++;
  lab.upstream.respond = ({ message }) => answerTo(message, { answers: [a('example.com', '192.0.2.1')] });
  expect(dataOf(lab.ask('example.com', Type.A))).toEqual(['192.0.2.1']);
});

test('other servers make the cache worthless, and are asked what waits', () => {
  const lab = new Lab();
  lab.upstream.respond = ({ message }) => answerTo(message, { answers: [a('example.com', '192.0.2.1')] });
  lab.ask('example.com', Type.A);
  lab.upstream.respond = undefined;
  lab.send(queryOf('waits.example', Type.A));
  lab.run();
  lab.upstream.generation++;
  lab.upstream.respond = ({ message }) => answerTo(message, { answers: [a(message.questions[0]!.name, '192.0.2.2')] });
  lab.send(queryOf('example.com', Type.A));
  lab.run();
  expect(lab.received().map((bytes) => dataOf(dns.parseMessage(bytes)!))).toEqual([['192.0.2.2'], ['192.0.2.2']]);
});

test.each([
  ['another identification', (m: dns.Message) => ({ ...m, id: m.id ^ 1 }), 0, false],
  ['another name', (m: dns.Message) => ({ ...m, questions: [{ ...m.questions[0]!, name: 'evil.example' }] }), 0, false],
  ['another type', (m: dns.Message) => ({ ...m, questions: [{ ...m.questions[0]!, type: 28 }] }), 0, false],
  ['no question', (m: dns.Message) => ({ ...m, questions: [] }), 0, false],
  ['a server that was not asked', (m: dns.Message) => m, 1, false],
  ['another transport', (m: dns.Message) => m, 0, true],
])('ignores an answer with %s', (_, change, server, isTcp) => {
  const lab = new Lab();
  lab.upstream.count = 2;
  lab.send(queryOf('example.com', Type.A));
  lab.run();
  const { message } = lab.upstream.asked[0]!;
  const answers = [a('example.com', '203.0.113.66')];
  lab.upstream.give(server, answerTo(change(message) as dns.Message, { answers }), isTcp);
  lab.upstream.give(0, queryOf('example.com', Type.A, { id: message.id })); // a query is no answer
  lab.run();
  expect(lab.received()).toEqual([]);
  expect(lab.server.counters.ignored).toBe(2);
});

test('a long answer is cut for who takes little, and given whole over TCP', () => {
  const lab = new Lab();
  lab.upstream.respond = ({ message }) => answerTo(message, { answers: [txt('big.example', 700)] });
  const cut = lab.ask('big.example', Type.TXT);
  expect([cut.flags & Flag.Truncated, cut.answers.length, cut.questions.length]).toEqual([Flag.Truncated, 0, 1]);
  const whole = lab.ask('big.example', Type.TXT, { edns: 1232 });
  expect([whole.flags & Flag.Truncated, whole.answers.length]).toEqual([0, 1]);
  const client = lab.connect();
  client.send(queryOf('big.example', Type.TXT));
  lab.run();
  expect(client.received().map((one) => one.answers[0]!.data.length)).toEqual([700]);
  expect(lab.upstream.asked.length).toBe(1);
});

test('what a server cut is cut for the guest, is not kept, and is asked for over TCP', () => {
  const lab = new Lab();
  lab.upstream.respond = ({ message, isTcp }) =>
    isTcp
      ? answerTo(message, { answers: [txt('huge.example', 3000)] })
      : answerTo(message, { flags: Flag.Truncated, answers: [a('huge.example', '192.0.2.1')] });
  const cut = lab.ask('huge.example', Type.TXT, { edns: 4096 });
  expect([cut.flags & Flag.Truncated, cut.answers.length, cut.additionals.length]).toEqual([Flag.Truncated, 0, 1]);
  const client = lab.connect();
  client.send(queryOf('huge.example', Type.TXT));
  lab.run();
  expect(client.received()[0]!.answers[0]!.data.length).toBe(3000);
  expect(lab.upstream.asked.map((one) => one.isTcp)).toEqual([false, true]);
});

test('passes options on as they are, and back to who sent them', () => {
  const lab = new Lab();
  const cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
  const subnet = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
  lab.upstream.respond = ({ message }) => answerTo(message, { answers: [a('example.com', '192.0.2.1')] });
  const got = lab.ask('example.com', Type.A, { edns: 4096, options: cookie });
  expect(Array.from(lab.upstream.asked[0]!.message.additionals[0]!.data)).toEqual(cookie);
  expect(Array.from(got.additionals[0]!.data)).toEqual(cookie);
  expect(got.additionals[0]!.class).toBe(1232);
  lab.ask('example.com', Type.A, { edns: 4096, options: cookie });
  expect(lab.server.counters.hits).toBe(1);
  // A client's subnet may change the answer: it is asked for, and nobody else gets it.
  lab.ask('example.com', Type.A, { edns: 4096, options: subnet });
  lab.ask('example.com', Type.A, { edns: 4096, options: subnet });
  expect(lab.upstream.asked.length).toBe(3);
});

test('a server that knows no EDNS is asked without', () => {
  const lab = new Lab();
  lab.upstream.respond = ({ message }) =>
    message.additionals.length > 0
      ? dns.buildMessage({ ...message, flags: Flag.Response | Rcode.FormErr, additionals: [], questions: [] })
      : answerTo(message, { answers: [a('old.example', '192.0.2.1')] });
  expect(dataOf(lab.ask('old.example', Type.A))).toEqual(['192.0.2.1']);
  expect(lab.upstream.asked.map(({ message }) => message.additionals.length)).toEqual([1, 0]);
});

test('an OPT record that is not the last is found', () => {
  const lab = new Lab();
  lab.upstream.respond = ({ message }) => {
    const opt = { ...message.additionals[0]!, class: 4096 };
    const more = [opt, a('ns.example.com', '192.0.2.53')];
    const built = dns.parseMessage(answerTo(message, { answers: [a('example.com', '192.0.2.1')] }))!;
    return dns.buildMessage({ ...built, additionals: more });
  };
  const got = lab.ask('example.com', Type.A);
  expect(dataOf(got)).toEqual(['192.0.2.1']);
  expect(got.additionals.map((one) => one.name)).toEqual(['ns.example.com']);
});

test('an extended code is a failure for who cannot read it', () => {
  const lab = new Lab();
  lab.upstream.respond = ({ message }) => {
    const built = dns.parseMessage(answerTo(message, { code: 7 }))!;
    return dns.buildMessage({ ...built, additionals: [{ ...built.additionals[0]!, ttl: 0x01000000 }] }); // BADCOOKIE
  };
  expect(dns.rcode(lab.ask('example.com', Type.A))).toBe(Rcode.ServFail);
  const got = lab.ask('example.com', Type.A, { edns: 1232 });
  expect([dns.rcode(got), got.additionals[0]!.ttl]).toEqual([7, 0x01000000]);
});

test.each([
  ['a version of EDNS that nobody knows', queryOf('example.com', Type.A, { edns: 512, version: 1 }), 0, 0x01000000],
  ['another opcode', queryOf('example.com', Type.SOA, { flags: 0x2000 }), Rcode.NotImp, undefined],
  ['a zone transfer', queryOf('example.com', 252), Rcode.Refused, undefined],
  ['two questions', twoQuestions(), Rcode.FormErr, undefined],
])('answers %s itself', (_, query, code, extended) => {
  const lab = new Lab();
  const got = dns.parseMessage(lab.askBytes(query))!;
  expect([dns.rcode(got), got.additionals[0]?.ttl]).toEqual([code, extended]);
  expect(lab.upstream.asked).toEqual([]);
});

function twoQuestions(): Uint8Array {
  const one = { name: 'example.com', type: Type.A, class: 1 };
  return dns.buildMessage({ id: 1, flags: 0, questions: [one, one], answers: [], authorities: [], additionals: [] });
}

test('a response that comes as a query gets no answer', () => {
  const lab = new Lab();
  lab.send(queryOf('example.com', Type.A, { flags: Flag.Response }));
  lab.run();
  expect(lab.received()).toEqual([]);
  expect(lab.server.counters.malformed).toBe(1);
});

test('as many queries wait as may, and one guest has a quarter of that', () => {
  const lab = new Lab({ pendingMax: 16 }).meet();
  for (let i = 0; i < 20; i++) lab.send(queryOf(`n${i}.example`, Type.A, { id: i }));
  lab.run();
  expect(lab.upstream.asked.length).toBe(4);
  expect(lab.received().length).toBe(16);
  expect(lab.server.counters.full).toBe(16);
  lab.run(10 * S);
  expect(lab.server.sizes.waiting).toBe(0);
  for (let i = 0; i < 20; i++) lab.send(queryOf(`m${i}.example`, Type.A, { id: i }));
  lab.run();
  expect(lab.server.sizes.waiting).toBe(4);
});

test('a port that takes nothing holds one answer and leaves the queries in their queue', () => {
  const lab = new Lab({}, { outputFramesMax: 16 }).meet();
  const port = lab.gateway.ports[0]!;
  port.pause(true);
  for (let i = 0; i < 60; i++) lab.send(queryOf('localhost', Type.A, { id: i }));
  lab.run();
  expect(lab.received()).toEqual([]);
  expect(lab.server.counters.queries).toBeLessThan(30);
  port.pause(false);
  lab.run();
  const ids = lab.received().map((bytes) => dns.parseMessage(bytes)!.id);
  expect(ids.sort((x, y) => x - y)).toEqual(Array.from({ length: 60 }, (_, i) => i));
  expect(lab.server.counters.unsent).toBe(0);
});

test('restricted, it answers what it knows and refuses the rest', () => {
  const lab = new Lab({ isRestricted: true, names: [{ name: 'db', address: ip('10.0.0.9') }] });
  expect(dataOf(lab.ask('db.weft.internal', Type.A))).toEqual(['10.0.0.9']);
  expect(dns.rcode(lab.ask('example.com', Type.A))).toBe(Rcode.Refused);
  expect(lab.upstream.asked).toEqual([]);
  expect(lab.server.counters.refused).toBe(1);
});

test('the resolver of a guest finds names by it', async () => {
  const lab = new Lab();
  lab.upstream.respond = ({ message }) => {
    const { name, type } = message.questions[0]!;
    return answerTo(message, type === Type.A ? { answers: [a(name, '192.0.2.80')] } : {});
  };
  lab.guest.configuration.apply('dns=10.0.0.2', 2);
  let found: readonly Int32Array[] = [];
  lab.guest.configuration.lookup('www.example.com').then((list) => {
    found = list;
  });
  for (let i = 0; i < 50 && found.length === 0; i++) {
    lab.run(1000);
    await Promise.resolve();
  }
  expect(found.map((one) => Array.from(one))).toEqual([Array.from(ip('192.0.2.80'))]);
});

test('a name behind pointers stays readable', () => {
  const lab = new Lab();
  lab.upstream.respond = ({ message }) => answerTo(message, { answers: [a('Deep.Name.example.com', '192.0.2.1')] });
  const bytes = lab.askBytes(queryOf('deep.name.EXAMPLE.com', Type.A));
  expect(readName(bytes, 12)!.name).toBe('deep.name.EXAMPLE.com');
  expect(dns.parseMessage(bytes)!.answers[0]!.name).toBe('deep.name.EXAMPLE.com');
});
