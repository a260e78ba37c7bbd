import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Address, format, isIp4, parse } from '../../../stack/address.ts';
import { type MulticastResolver, Resolver } from '../../../stack/config/resolver.ts';
import { ResolverApi } from '../../../stack/config/resolver-api.ts';
import { bytesOf, candidates } from '../../../stack/config/resolver-names.ts';
import { Resolved } from '../../../stack/config/resolver-reply.ts';
import { viewOf } from '../../../wire/bytes.ts';
import * as dns from '../../../wire/dns.ts';
import { nameData, record } from '../../../wire/dns-data.ts';
import { nameBytes } from '../../../wire/dns-name.ts';
import { run, S, type Sent, saved, transfer, world } from '../kit-conf.ts';

const { Type, Flag, Rcode } = dns;
const ONE = parse('10.0.0.53')!;
const TWO = parse('2001:db8::53')!;

const a = (name: string, text: string, ttl = 300) => {
  const address = parse(text)!;
  return record(name, isIp4(address) ? Type.A : Type.AAAA, ttl, bytesOf(address));
};
const cname = (name: string, to: string) => record(name, Type.CNAME, 300, nameData(to));

function soa(zone: string, ttl: number, minimum: number) {
  const names = [...nameBytes(`ns.${zone}`)!, ...nameBytes(`root.${zone}`)!];
  const data = new Uint8Array(names.length + 20);
  data.set(names);
  viewOf(data).setUint32(names.length + 16, minimum);
  return record(zone, Type.SOA, ttl, data);
}

function setup(config = {}, multicast?: MulticastResolver, sort?: (list: Address[]) => void) {
  const w = world(3);
  const ways = { io: w.io, streams: w.streams, ...(multicast ? { multicast } : {}), ...(sort ? { sort } : {}) };
  const resolver = new Resolver(w.shared, ways);
  resolver.configure({ servers: [ONE, TWO], ...config });
  /** Answers what was sent last, or `to`. */
  const reply = (
    records: dns.ResourceRecord[],
    over: Partial<dns.Message> = {},
    to = w.io.sent.at(-1)!,
    from = to.target,
  ) => {
    const asked = dns.parseMessage(to.bytes)!;
    const message = { ...asked, flags: Flag.Response, answers: records, additionals: [], ...over };
    w.io.give(to.handle, dns.buildMessage(message), parse(from)!, 53);
    resolver.poll();
  };
  return { ...w, resolver, reply };
}

const asked = (sent: Sent) => dns.parseMessage(sent.bytes)!;

describe('a query', () => {
  test('asks one question with recursion desired and 1232 bytes of EDNS, RFC 6891', () => {
    const s = setup();
    const id = s.resolver.query('Example.org', Type.TXT);
    expect(id).toBeGreaterThan(0);
    const message = asked(s.io.sent[0]!);
    expect(s.io.sent[0]).toMatchObject({ target: '10.0.0.53', port: 53 });
    expect(s.io.opened[0]).toMatchObject({ port: 0, isIp6: false });
    expect(message.flags).toBe(Flag.RecursionDesired);
    expect(message.questions).toEqual([{ name: 'Example.org', type: Type.TXT, class: 1 }]);
    expect(message.additionals[0]).toMatchObject({ name: '', type: Type.OPT, class: 1232 });
    s.reply([record('example.org', Type.TXT, 5, Uint8Array.of(1, 65))]);
    expect(s.resolver.nextAnswer()).toMatchObject({ id, status: Resolved.Ok, name: 'Example.org' });
    expect(s.resolver.nextAnswer()).toBeUndefined();
    expect(s.io.openCount).toBe(0);
  });

  test('uses another identification and another socket each time, RFC 5452 §9', () => {
    const s = setup({ servers: [ONE], attempts: 8 });
    s.resolver.query('example.org', Type.A);
    run(s.shared, s.resolver, 10_000 * S);
    const ids = s.io.sent.map((sent) => asked(sent).id);
    expect(ids).toHaveLength(8);
    expect(new Set(ids).size).toBe(8);
    expect(new Set(s.io.sent.map((sent) => sent.handle)).size).toBe(8);
  });

  test.each([
    ['another identification', { id: 1 }, undefined],
    ['another name', { questions: [{ name: 'evil.org', type: 1, class: 1 }] }, undefined],
    ['another type', { questions: [{ name: 'example.org', type: 2, class: 1 }] }, undefined],
    ['no question', { questions: [] }, undefined],
    ['a question', { flags: 0 }, undefined],
    ['another host', {}, '10.0.0.99'],
  ])('does not take an answer with %s, RFC 5452 §9.1', (_what, over, from) => {
    const s = setup();
    s.resolver.query('example.org', Type.A);
    s.reply([a('example.org', '192.0.2.1')], over, s.io.sent[0]!, from ?? '10.0.0.53');
    expect(s.resolver.nextAnswer()).toBeUndefined();
    expect(s.resolver.ignored).toBe(1);
    s.reply([a('example.org', '192.0.2.1')]);
    expect(s.resolver.nextAnswer()!.addresses.map(format)).toEqual(['192.0.2.1']);
  });

  test('goes through the servers, waits longer in the second round, then gives up', () => {
    const s = setup();
    const id = s.resolver.query('example.org', Type.A);
    run(s.shared, s.resolver, 100 * S);
    expect(s.io.sent.map((sent) => [sent.target, sent.atUs / S])).toEqual([
      ['10.0.0.53', 0],
      ['2001:db8::53', 2],
      ['10.0.0.53', 4],
      ['2001:db8::53', 8],
    ]);
    expect(s.resolver.nextAnswer()).toMatchObject({ id, status: Resolved.Timeout });
    expect(s.io.openCount).toBe(0);
  });

  test('goes on at once after ServFail, and stays with the server that answers', () => {
    const s = setup();
    s.resolver.query('example.org', Type.A);
    s.reply([], { flags: Flag.Response | Rcode.ServFail });
    expect(s.io.sent[1]!.target).toBe('2001:db8::53');
    s.reply([a('example.org', '192.0.2.1')]);
    s.resolver.query('example.net', Type.A);
    expect(s.io.sent[2]!.target).toBe('2001:db8::53');
  });

  test('goes without EDNS to a server that does not know it, RFC 6891 §7', () => {
    const s = setup();
    s.resolver.query('example.org', Type.A);
    s.reply([], { flags: Flag.Response | Rcode.FormErr });
    expect(s.io.sent[1]!.target).toBe('10.0.0.53');
    expect(asked(s.io.sent[1]!).additionals).toEqual([]);
  });

  test('says ENOBUFS when 256 are open, and EINVAL for what is no name', () => {
    const s = setup();
    for (let i = 0; i < 256; i++) expect(s.resolver.query(`n${i}.org`, Type.A)).toBeGreaterThan(0);
    expect(s.resolver.query('more.org', Type.A)).toBe(-105);
    expect(s.resolver.lookup('10.0.0.1')).toBe(-105);
    expect(s.resolver.query(`${'x'.repeat(64)}.org`, Type.A)).toBe(-22);
    s.resolver.cancel(1);
    expect(s.resolver.query('more.org', Type.A)).toBeGreaterThan(0);
  });
});

test('an answer that was cut is fetched over TCP in pieces, RFC 7766', () => {
  const s = setup();
  const id = s.resolver.query('example.org', Type.A);
  s.reply([], { flags: Flag.Response | Flag.Truncated });
  expect(s.streams.connects).toEqual(['10.0.0.53 53']);
  const question = dns.parseMessage(s.streams.sent[0]!.slice(2))!;
  expect(viewOf(s.streams.sent[0]!).getUint16(0)).toBe(s.streams.sent[0]!.length - 2);
  const many = Array.from({ length: 40 }, (_, i) => a('example.org', `192.0.2.${i}`));
  const bytes = dns.buildMessage({ ...question, flags: Flag.Response, answers: many, additionals: [] });
  s.streams.replies[0] = Uint8Array.from([bytes.length >>> 8, bytes.length & 255, ...bytes]);
  s.resolver.poll();
  const answer = s.resolver.nextAnswer()!;
  expect(answer).toMatchObject({ id, status: Resolved.Ok });
  expect(answer.addresses).toHaveLength(40);
  expect(s.streams.closed).toEqual([true]);
});

describe('aliases, RFC 1034 §3.6.2', () => {
  test('are followed within a message, and records of other names do not count', () => {
    const s = setup();
    s.resolver.query('www.a.org', Type.A);
    s.reply([a('x.org', '192.0.2.9'), a('b.org', '192.0.2.1'), cname('www.a.org', 'b.org')]);
    expect(s.resolver.nextAnswer()!.addresses.map(format)).toEqual(['192.0.2.1']);
  });

  test('are asked for if the message ends with one', () => {
    const s = setup();
    s.resolver.query('www.a.org', Type.A);
    s.reply([cname('www.a.org', 'b.org')]);
    expect(asked(s.io.sent[1]!).questions[0]!.name).toBe('b.org');
    s.reply([a('b.org', '192.0.2.1')]);
    expect(s.resolver.nextAnswer()!.records).toHaveLength(2);
  });

  test('that never end are given up', () => {
    const s = setup();
    s.resolver.query('a.org', Type.A);
    for (let i = 0; i < 40 && s.io.openCount > 0; i++) {
      const { name } = asked(s.io.sent.at(-1)!).questions[0]!;
      s.reply([cname(name, `x${i}.org`)]);
    }
    expect(s.resolver.nextAnswer()!.status).toBe(Resolved.Failed);
    s.resolver.query('b.org', Type.A);
    s.reply([cname('b.org', 'c.org'), cname('c.org', 'b.org')]);
    expect(s.resolver.nextAnswer()!.status).toBe(Resolved.Failed);
  });
});

describe('the cache', () => {
  test('answers until the TTL is over, with what is left of it', () => {
    const s = setup();
    s.resolver.query('example.org', Type.A);
    s.reply([a('example.org', '192.0.2.1', 60)]);
    s.shared.nowUs = 59 * S;
    s.resolver.query('EXAMPLE.org', Type.A);
    expect(s.io.sent).toHaveLength(1);
    s.resolver.nextAnswer();
    expect(s.resolver.nextAnswer()!.records[0]!.ttl).toBe(1);
    s.shared.nowUs = 60 * S;
    s.resolver.query('example.org', Type.A);
    expect(s.io.sent).toHaveLength(2);
  });

  test.each([
    ['no such name', Rcode.NxDomain, Resolved.NoName],
    ['no such type', Rcode.NoError, Resolved.NoData],
  ])('keeps "%s" for the lower of the TTL of the SOA and its minimum, RFC 2308 §5', (_what, code, status) => {
    const s = setup();
    s.resolver.query('no.example.org', Type.A);
    s.reply([], { flags: Flag.Response | code, authorities: [soa('example.org', 100, 30)] });
    s.shared.nowUs = 29 * S;
    s.resolver.query('no.example.org', Type.A);
    expect(s.io.sent).toHaveLength(1);
    expect([s.resolver.nextAnswer()!.status, s.resolver.nextAnswer()!.status]).toEqual([status, status]);
    s.shared.nowUs = 30 * S;
    s.resolver.query('no.example.org', Type.A);
    expect(s.io.sent).toHaveLength(2);
  });

  test('keeps no negative answer without SOA, nothing with TTL 0, and at most 1024 entries', () => {
    const s = setup();
    s.resolver.query('no.org', Type.A);
    s.reply([], { flags: Flag.Response | Rcode.NxDomain });
    s.resolver.query('zero.org', Type.A);
    s.reply([a('zero.org', '192.0.2.1', 0)]);
    expect(s.resolver.cache.size).toBe(0);
    for (let i = 0; i < 1100; i++) {
      s.resolver.query(`n${i}.org`, Type.A);
      s.reply([a(`n${i}.org`, '192.0.2.1')]);
      s.resolver.nextAnswer();
      s.resolver.nextAnswer();
    }
    expect(s.resolver.cache.size).toBe(1024);
  });
});

describe('names that no server is asked for', () => {
  test.each([
    ['localhost', Type.A, Resolved.Ok, ['127.0.0.1']], // RFC 6761 §6.3
    ['a.localhost.', Type.AAAA, Resolved.Ok, ['::1']],
    ['localhost', Type.MX, Resolved.NoData, []],
    ['x.invalid', Type.A, Resolved.NoName, []], // RFC 6761 §6.4
    ['x.onion', Type.A, Resolved.NoName, []], // RFC 7686 §2
    ['printer.local', Type.A, Resolved.NoName, []], // RFC 6762 §3, without multicast
  ])('%s', (name, type, status, addresses) => {
    const s = setup();
    s.resolver.query(name, type);
    const answer = s.resolver.nextAnswer()!;
    expect(answer.status).toBe(status);
    expect(answer.addresses.map(format)).toEqual(addresses);
    expect(s.io.sent).toEqual([]);
  });

  test('those of the hosts text, in both directions', () => {
    const s = setup();
    s.resolver.setHosts('# hosts\n10.0.0.7 web web.lab # x\nfd00::7\tweb\nbad line\n');
    s.resolver.lookup('WEB');
    expect(s.resolver.nextAnswer()!.addresses.map(format)).toEqual(['fd00::7', '10.0.0.7']);
    s.resolver.query('7.0.0.10.in-addr.arpa', Type.PTR);
    expect(s.resolver.nextAnswer()!.records[0]!.data).toEqual(nameBytes('web'));
    expect(s.io.sent).toEqual([]);
  });

  test('.local goes to multicast DNS, RFC 6762 §3', () => {
    const replies: { id: number; records: dns.ResourceRecord[] }[] = [];
    const multicast = { query: () => 9, nextAnswer: () => replies.shift() };
    const s = setup({}, multicast);
    const id = s.resolver.query('printer.local', Type.A);
    replies.push({ id: 9, records: [a('printer.local', '169.254.1.1')] });
    s.resolver.poll();
    expect(s.resolver.nextAnswer()).toMatchObject({ id, status: Resolved.Ok });
  });

  test('addresses themselves', () => {
    const s = setup();
    s.resolver.lookup('10.0.0.1');
    s.resolver.lookup('10.0.0.1', 6);
    expect(s.resolver.nextAnswer()!.addresses.map(format)).toEqual(['10.0.0.1']);
    expect(s.resolver.nextAnswer()!.status).toBe(Resolved.NoData);
  });
});

describe('a lookup', () => {
  test('asks for both families at once and puts IPv6 first, or as the given order has it', () => {
    for (const sort of [undefined, (list: Address[]) => void list.reverse()]) {
      const s = setup({}, undefined, sort);
      s.resolver.lookup('example.org');
      const [six, four] = s.io.sent;
      s.reply([a('example.org', '192.0.2.1')], {}, four);
      expect(s.resolver.nextAnswer()).toBeUndefined();
      s.reply([a('example.org', '2001:db8::1')], {}, six);
      const expected = sort ? ['192.0.2.1', '2001:db8::1'] : ['2001:db8::1', '192.0.2.1'];
      expect(s.resolver.nextAnswer()!.addresses.map(format)).toEqual(expected);
    }
  });

  test('tries the search list, and stops where a name exists', () => {
    const s = setup({ search: ['lab', 'org'] });
    s.resolver.lookup('web', 4);
    expect(asked(s.io.sent[0]!).questions[0]!.name).toBe('web.lab');
    s.reply([], { flags: Flag.Response | Rcode.NxDomain });
    s.reply([a('web.org', '192.0.2.1')]);
    expect(s.resolver.nextAnswer()).toMatchObject({ name: 'web.org', status: Resolved.Ok });
  });

  test.each([
    ['web', 1, ['web.lab', 'web']],
    ['web.a', 1, ['web.a', 'web.a.lab']],
    ['web.a', 2, ['web.a.lab', 'web.a']],
    ['web.', 1, ['web']],
  ])('of %s with ndots %s tries %j', (name, ndots, expected) => {
    expect(candidates(name, ['lab'], ndots)).toEqual(expected);
  });
});

test('promises are fulfilled when the stack was polled', async () => {
  const s = setup();
  const api = new ResolverApi(s.resolver);
  const answer = api.lookup('example.org', 4);
  s.reply([a('example.org', '192.0.2.1')]);
  api.settle();
  expect(await answer).toMatchObject({ status: Resolved.Ok });
  expect(await api.query('', Type.A)).toBe(-22);
});

test('goes on identically after save and load, over UDP and in the middle of a TCP answer', () => {
  const one = setup({ search: ['lab'] });
  const two = setup({});
  one.resolver.setHosts('10.0.0.7 web');
  one.resolver.lookup('example.org');
  one.resolver.query('cut.org', Type.A);
  one.reply([], { flags: Flag.Response | Flag.Truncated });
  one.resolver.query('kept.org', Type.A);
  one.reply([a('kept.org', '192.0.2.5')]);
  for (const options of one.io.opened) two.io.open(options!);
  two.shared.nowUs = one.shared.nowUs;
  transfer(one.resolver, two.resolver);
  expect(saved(two.resolver)).toEqual(saved(one.resolver));
  one.io.sent.length = 0;
  for (const s of [one, two]) run(s.shared, s.resolver, 100 * S);
  expect(one.io.sent.length).toBeGreaterThan(4);
  expect(two.io.sent.map(({ atUs, target, bytes }) => [atUs, target, bytes])).toEqual(
    one.io.sent.map(({ atUs, target, bytes }) => [atUs, target, bytes]),
  );
  const drain = (r: Resolver) => Array.from({ length: 4 }, () => r.nextAnswer());
  expect(drain(two.resolver)).toEqual(drain(one.resolver));
});

test('random and damaged messages never throw', () => {
  const s = setup({ servers: [ONE], attempts: 16 });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(60), (noise, cut) => {
      const id = s.resolver.query('example.org', Type.A);
      const sent = s.io.sent.at(-1)!;
      s.io.give(sent.handle, noise, ONE, 53);
      const good = dns.buildMessage({ ...asked(sent), flags: Flag.Response, answers: [], additionals: [] });
      s.io.give(sent.handle, Uint8Array.from([...good.slice(0, cut), ...noise]), ONE, 53);
      s.resolver.poll();
      s.resolver.cancel(id);
    }),
  );
});
