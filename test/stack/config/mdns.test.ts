import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Address, format, isIp4, of4, parse } from '../../../stack/address.ts';
import { Mdns } from '../../../stack/config/mdns.ts';
import { HostState } from '../../../stack/config/mdns-host.ts';
import { bytesOf } from '../../../stack/config/resolver-names.ts';
import * as dns from '../../../wire/dns.ts';
import { nameData, record, typesOf } from '../../../wire/dns-data.ts';
import { reverseName } from '../../../wire/dns-name.ts';
import { run, S, type Sent, saved, transfer, world } from '../kit-conf.ts';

const { Type, Flag } = dns;
const FOUR = parse('10.0.0.7')!;
const SIX = parse('fe80::7')!;
const PEER = of4(0x0a000009);

const a = (name: string, text: string, ttl = 120, flush = false) => {
  const address = parse(text)!;
  return record(name, isIp4(address) ? Type.A : Type.AAAA, ttl, bytesOf(address), flush);
};

function setup(label = 'host', seed = 1) {
  const w = world(seed);
  const mdns = new Mdns(w.shared, 2, w.io, label);
  const give = (message: Partial<dns.Message>, { port = 5353, hopLimit = 255 } = {}) => {
    const whole = { id: 0, flags: 0, questions: [], answers: [], authorities: [], additionals: [], ...message };
    w.io.give(0, dns.buildMessage(whole), PEER, port, hopLimit);
    mdns.poll();
  };
  const respond = (answers: dns.ResourceRecord[], how = {}) => give({ flags: Flag.Response, answers }, how);
  const ask = (name: string, type: number, over: Partial<dns.Message> = {}, how = {}, qu = false) =>
    give({ questions: [{ name, type, class: qu ? 0x8001 : 1 }], ...over }, how);
  /** What was sent by IPv4 since the last call, read. */
  const take = () => w.io.sent.splice(0).filter((s) => s.handle === 0);
  return { ...w, mdns, give, respond, ask, take };
}

/** With its name established, and nothing in the output; 10 s have gone by. */
function ready(addresses: Address[] = [FOUR, SIX]) {
  const s = setup();
  s.mdns.start(addresses);
  run(s.shared, s.mdns, 10 * S);
  expect(s.mdns.host.state).toBe(HostState.Ready);
  s.take();
  return s;
}

const read = (sent: Sent) => dns.parseMessage(sent.bytes)!;

describe('RFC 6762 §8, claiming a name', () => {
  test('probes three times 250 ms apart after up to 250 ms, then announces twice a second apart', () => {
    const s = setup();
    s.mdns.start([FOUR, SIX]);
    run(s.shared, s.mdns, 10 * S);
    const sent = s.take();
    const at = sent.map((one) => one.atUs);
    expect(sent).toHaveLength(5);
    expect(at[0]).toBeLessThan(S / 4);
    expect(at.map((t) => t - at[0]!)).toEqual([0, S / 4, S / 2, (3 * S) / 4, (7 * S) / 4]);
    const probe = read(sent[0]!);
    expect(probe.questions).toEqual([{ name: 'host.local', type: Type.ANY, class: 0x8001 }]); // §8.1: QU
    expect(probe.authorities.map((r) => [r.type, r.class])).toEqual([
      [Type.A, 1], // §10.2: no cache flush
      [Type.AAAA, 1],
    ]);
    const announcement = read(sent[3]!);
    expect(announcement.flags).toBe(Flag.Response | Flag.Authoritative);
    expect(announcement.answers.map((r) => [r.name, r.type, r.class, r.ttl])).toEqual([
      ['host.local', Type.A, 0x8001, 120],
      ['host.local', Type.AAAA, 0x8001, 120],
      ['7.0.0.10.in-addr.arpa', Type.PTR, 0x8001, 120],
      [reverseName(bytesOf(SIX)), Type.PTR, 0x8001, 120],
    ]);
    expect(announcement.questions).toEqual([]);
  });

  test('goes to both groups, port 5353, hop limit 255, §11', () => {
    const s = setup();
    s.mdns.start([FOUR]);
    run(s.shared, s.mdns, S / 4);
    expect(s.io.sent.map((one) => [one.target, one.port])).toEqual([
      ['224.0.0.251', 5353],
      ['ff02::fb', 5353],
    ]);
    expect(s.io.opened.map((o) => [o!.hopLimit, o!.isShared, format(o!.group!)])).toEqual([
      [255, true, '224.0.0.251'],
      [255, true, 'ff02::fb'],
    ]);
  });

  test('takes another name when it is taken, §8.1 and §9', () => {
    const s = setup();
    s.mdns.start([FOUR]);
    run(s.shared, s.mdns, S / 2);
    s.respond([a('HOST.local', '10.0.0.99')]);
    expect(s.mdns.host.name).toBe('host-2.local');
    run(s.shared, s.mdns, 5 * S);
    expect(s.mdns.host.state).toBe(HostState.Ready);
    expect(read(s.take().at(-1)!).answers[0]!.name).toBe('host-2.local');
  });

  test('its own data from elsewhere are no conflict, nor is a goodbye', () => {
    const s = setup();
    s.mdns.start([FOUR]);
    run(s.shared, s.mdns, S / 2);
    s.respond([a('host.local', '10.0.0.7'), a('host.local', '10.0.0.99', 0)]);
    expect(s.mdns.host.name).toBe('host.local');
  });

  test.each([
    ['10.0.0.6', false],
    ['10.0.0.8', true],
    ['10.0.0.7', false],
  ])('against a probe for %s at the same time: loses %s and waits a second, §8.2', (text, loses) => {
    const s = setup();
    s.mdns.start([FOUR]);
    run(s.shared, s.mdns, S / 2);
    s.ask('host.local', Type.ANY, { authorities: [a('host.local', text)] });
    expect(s.mdns.deadlineUs() === s.shared.nowUs + S).toBe(loses);
    expect(s.mdns.host.name).toBe('host.local');
  });

  test('an established name is verified again after a conflict, §9', () => {
    const s = ready();
    s.respond([a('host.local', '10.0.0.99')]);
    expect(s.mdns.host.state).toBe(HostState.Probing);
    expect(s.mdns.host.name).toBe('host.local');
  });

  test('after fifteen conflicts within ten seconds each attempt waits five, §8.1', () => {
    const s = setup();
    s.mdns.start([FOUR]);
    for (let i = 0; i < 15; i++) s.respond([a(s.mdns.host.name, '10.0.0.99')]);
    expect(s.mdns.deadlineUs()).toBe(5 * S);
  });

  test('other addresses are announced, §8.4, and no address claims nothing', () => {
    const s = ready([FOUR]);
    s.mdns.start([SIX]);
    run(s.shared, s.mdns, 12 * S);
    expect(s.take().map((one) => read(one).answers[0]!.type)).toEqual([Type.AAAA, Type.AAAA]);
    s.mdns.start([]);
    s.ask('host.local', Type.AAAA);
    expect(s.take()).toEqual([]);
  });
});

describe('RFC 6762 §6, answering', () => {
  test('multicasts the record with the other addresses beside it, once a second', () => {
    const s = ready();
    s.ask('HOST.local', Type.A);
    s.ask('host.local', Type.A);
    const [sent, more] = s.take();
    expect(more).toBeUndefined();
    expect(sent).toMatchObject({ target: '224.0.0.251', port: 5353 });
    expect(read(sent!).answers).toEqual([a('host.local', '10.0.0.7', 120, true)]);
    expect(read(sent!).additionals).toEqual([a('host.local', 'fe80::7', 120, true)]);
    s.shared.nowUs += S;
    s.ask('host.local', Type.A);
    expect(s.take()).toHaveLength(1);
  });

  test('the reverse name, and any type', () => {
    const s = ready();
    s.ask('7.0.0.10.in-addr.arpa', Type.PTR);
    expect(read(s.take()[0]!).answers[0]!.data).toEqual(nameData('host.local'));
    s.shared.nowUs += S;
    s.ask('host.local', Type.ANY);
    expect(read(s.take()[0]!).answers).toHaveLength(2);
  });

  test('with the proof that there is none of a type, §6.1', () => {
    const s = ready([FOUR]);
    s.ask('host.local', Type.AAAA);
    const [nsec] = read(s.take()[0]!).answers;
    expect(nsec).toMatchObject({ name: 'host.local', type: Type.NSEC, class: 0x8001 });
    expect(typesOf(nsec!)).toEqual([Type.A]);
  });

  test('nothing for other names, and nothing that the asker has for at least half of its time, §7.1', () => {
    const s = ready();
    s.ask('other.local', Type.A);
    s.ask('host.local', Type.A, { answers: [a('host.local', '10.0.0.7', 60)] });
    expect(s.take()).toEqual([]);
    s.ask('host.local', Type.A, { answers: [a('host.local', '10.0.0.7', 59)] });
    expect(s.take()).toHaveLength(1);
  });

  test('to the asker alone if it wishes so and everybody had it lately, §5.4', () => {
    const s = ready();
    s.ask('host.local', Type.A, {}, {}, true);
    expect(s.take()[0]).toMatchObject({ target: '10.0.0.9', port: 5353 });
    s.shared.nowUs += 31 * S;
    s.ask('host.local', Type.A, {}, {}, true);
    expect(s.take()[0]).toMatchObject({ target: '224.0.0.251' });
  });

  test('to a plain resolver with its number and question, short TTL, no cache flush, §6.7', () => {
    const s = ready();
    s.ask('host.local', Type.A, { id: 77 }, { port: 40000 });
    const [sent] = s.take();
    expect(sent).toMatchObject({ target: '10.0.0.9', port: 40000 });
    expect(read(sent!)).toMatchObject({ id: 77, questions: [{ name: 'host.local' }] });
    expect(read(sent!).answers).toEqual([a('host.local', '10.0.0.7', 10)]);
  });

  test('nothing before the name is ours', () => {
    const s = setup();
    s.mdns.start([FOUR]);
    s.ask('host.local', Type.A);
    expect(s.take()).toEqual([]);
  });

  test('says goodbye with TTL 0, §10.1', () => {
    const s = ready();
    s.mdns.stop();
    expect(read(s.take()[0]!).answers.every((r) => r.ttl === 0)).toBe(true);
    expect(s.io.openCount).toBe(0);
    expect(s.mdns.deadlineUs()).toBe(Infinity);
  });
});

describe('RFC 6762 §5, asking', () => {
  test('waits 20 to 120 ms, asks for a unicast answer first, again a second later, ends empty after three', () => {
    const s = setup();
    s.mdns.start([]);
    const id = s.mdns.query('printer.local', Type.A);
    run(s.shared, s.mdns, 20 * S);
    const sent = s.take();
    expect(sent[0]!.atUs).toBeGreaterThanOrEqual(20_000);
    expect(sent[0]!.atUs).toBeLessThanOrEqual(120_000);
    expect(sent.map((one) => read(one).questions[0]!.class)).toEqual([0x8001, 1]);
    expect(sent[1]!.atUs - sent[0]!.atUs).toBe(S);
    expect(s.mdns.nextAnswer()).toEqual({ id, records: [] });
    expect(s.mdns.nextAnswer()).toBeUndefined();
  });

  test('takes the first answer, keeps it, and answers from what it keeps until it ends', () => {
    const s = setup();
    s.mdns.start([]);
    const first = s.mdns.query('printer.local', Type.A);
    run(s.shared, s.mdns, S / 2);
    s.respond([a('printer.local', '10.0.0.5', 120, true)]);
    expect(s.mdns.nextAnswer()).toMatchObject({ id: first, records: [{ type: Type.A }] });
    s.shared.nowUs = 100 * S;
    s.mdns.query('PRINTER.local', Type.A);
    expect(s.mdns.nextAnswer()!.records).toHaveLength(1);
    s.shared.nowUs = 121 * S;
    s.mdns.query('printer.local', Type.A);
    expect(s.mdns.nextAnswer()).toBeUndefined();
  });

  test.each([
    ['another port, §6', { port: 40000 }],
    ['beyond the link, §11', { hopLimit: 64 }],
  ])('ignores a response from %s', (_what, how) => {
    const s = setup();
    s.mdns.start([]);
    s.mdns.query('printer.local', Type.A);
    s.respond([a('printer.local', '10.0.0.5')], how);
    expect(s.mdns.nextAnswer()).toBeUndefined();
    expect(s.mdns.ignored).toBe(1);
  });

  test('asks on with doubling intervals, suppresses what it has, and tells every change', () => {
    const s = setup();
    s.mdns.start([]);
    const id = s.mdns.query('printer.local', Type.A, { isContinuous: true });
    run(s.shared, s.mdns, 8 * S);
    const at = s.take().map((one) => one.atUs);
    expect(at.slice(1).map((t, i) => (t - at[i]!) / S)).toEqual([1, 2, 4]);
    s.respond([a('printer.local', '10.0.0.5', 100)]);
    expect(s.mdns.nextAnswer()).toMatchObject({ id, records: [{ ttl: 100 }] });
    s.respond([a('printer.local', '10.0.0.5', 100)]);
    expect(s.mdns.nextAnswer()).toBeUndefined();
    s.respond([a('printer.local', '10.0.0.6', 100)]);
    expect(s.mdns.nextAnswer()!.records).toHaveLength(2);
    run(s.shared, s.mdns, 20 * S);
    expect(read(s.take()[0]!).answers).toHaveLength(2); // §7.1
    run(s.shared, s.mdns, 107 * S);
    expect(s.take().map((one) => Math.floor(one.atUs / S))).toEqual([31, 63, 88, 93, 98, 103]);
    run(s.shared, s.mdns, 109 * S);
    expect(s.mdns.nextAnswer()).toEqual({ id, records: [] });
  });

  test('a goodbye ends a record in a second, a flush others of the set, §10.1 and §10.2', () => {
    const s = setup();
    s.mdns.start([]);
    s.mdns.query('p.local', Type.A, { isContinuous: true });
    s.respond([a('p.local', '10.0.0.5'), a('p.local', '10.0.0.6')]);
    s.shared.nowUs = 5 * S;
    s.respond([a('p.local', '10.0.0.7', 120, true)]);
    s.respond([a('p.local', '10.0.0.7', 0)]);
    s.mdns.nextAnswer();
    run(s.shared, s.mdns, 6 * S);
    expect(s.mdns.nextAnswer()!.records).toEqual([]);
  });

  test('answers for its own name itself', () => {
    const s = ready();
    const id = s.mdns.query('host.local', Type.A);
    expect(s.mdns.nextAnswer()).toMatchObject({ id, records: [{ name: 'host.local' }] });
  });

  test('has bounds: 64 questions at a time, 512 records', () => {
    const s = setup();
    s.mdns.start([]);
    for (let i = 0; i < 64; i++) expect(s.mdns.query(`n${i}.local`, Type.A)).toBeGreaterThan(0);
    expect(s.mdns.query('more.local', Type.A)).toBe(-105);
    expect(s.mdns.query(`${'x'.repeat(64)}.local`, Type.A)).toBe(-22);
    for (let i = 0; i < 30; i++) s.respond(Array.from({ length: 40 }, (_, k) => a(`r${i}-${k}.local`, '10.0.0.5')));
    const again = setup();
    transfer(s.mdns, again.mdns); // loading refuses more than 512
  });
});

test('goes on identically after save and load, while probing and when established', () => {
  for (const untilUs of [S / 4, S, 10 * S]) {
    const one = setup('host', 5);
    const two = setup('host', 5);
    one.mdns.start([FOUR, SIX]);
    one.mdns.query('p.local', Type.A, { isContinuous: true });
    one.respond([a('p.local', '10.0.0.5')]);
    one.mdns.query('q.local', Type.A);
    run(one.shared, one.mdns, untilUs);
    for (const options of one.io.opened) two.io.open(options!);
    two.shared.nowUs = one.shared.nowUs;
    transfer(one.mdns, two.mdns);
    expect(saved(two.mdns)).toEqual(saved(one.mdns));
    one.io.sent.length = 0;
    for (const s of [one, two]) {
      s.ask('host.local', Type.A);
      run(s.shared, s.mdns, 200 * S);
      s.respond([a('host.local', '10.0.0.99')]);
      run(s.shared, s.mdns, 210 * S);
    }
    expect(one.io.sent.length).toBeGreaterThan(10);
    expect(two.io.sent).toEqual(one.io.sent);
  }
});

test('random and damaged messages never throw', () => {
  const s = ready();
  const good = dns.buildMessage({
    id: 0,
    flags: 0x8400,
    questions: [{ name: 'host.local', type: 255, class: 1 }],
    answers: [a('host.local', '10.0.0.9'), record('x.local', Type.NSEC, 9, Uint8Array.of(0, 0, 1, 64))],
    authorities: [],
    additionals: [],
  });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(80), fc.boolean(), (noise, cut, isQuery) => {
      const bytes = Uint8Array.from([...good.slice(0, cut), ...noise]);
      if (isQuery && bytes.length > 3) bytes.fill(0, 2, 4);
      s.io.give(0, bytes, PEER, 5353);
      s.io.give(1, noise, PEER, 5353);
      s.mdns.poll();
      s.shared.nowUs += 1000;
      s.mdns.expire();
    }),
  );
});
