import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { format, parse, write6 } from '../../../stack/address.ts';
import { Dhcp6Client, type Dhcp6Options } from '../../../stack/config/dhcp6-client.ts';
import type { Lease6 } from '../../../stack/config/dhcp6-lease.ts';
import { Dhcp6State } from '../../../stack/config/dhcp6-state.ts';
import { viewOf } from '../../../wire/bytes.ts';
import * as dhcp6 from '../../../wire/dhcp6.ts';
import { MAC, run, S, type Sent, saved, transfer, world } from '../kit-conf.ts';

const { MessageType: T, Option: O, Status } = dhcp6;
const ROUTER = parse('fe80::1')!;
const SERVER = Uint8Array.of(0, 3, 0, 1, 2, 0, 0, 0, 0, 1);
const OTHER = Uint8Array.of(0, 3, 0, 1, 2, 0, 0, 0, 0, 2);
const DUID = dhcp6.duidOf(MAC);

interface Address {
  readonly text: string;
  readonly preferred: number;
  readonly valid: number;
}

interface Answer {
  readonly server?: Uint8Array;
  readonly client?: Uint8Array;
  readonly addresses?: readonly Address[];
  readonly t1?: number;
  readonly t2?: number;
  readonly status?: number;
  readonly iaStatus?: number;
  readonly noIa?: boolean;
  readonly preference?: number;
  readonly options?: readonly [number, readonly number[]][];
}

const ONE: Address = { text: '2001:db8::99', preferred: 1000, valid: 2000 };

function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  write6(viewOf(bytes), 0, parse(text)!);
  return bytes;
}

function answer(type: number, to: Sent, a: Answer = {}): Uint8Array {
  const out = new dhcp6.Dhcp6Writer(type, dhcp6.xid(viewOf(to.bytes), 0));
  out.option(O.ClientId, a.client ?? DUID).option(O.ServerId, a.server ?? SERVER);
  if (a.status !== undefined) out.option(O.StatusCode, [0, a.status]);
  if (a.preference !== undefined) out.option(O.Preference, [a.preference]);
  if (!a.noIa) {
    out
      .begin(O.IaNa)
      .u32(2)
      .u32(a.t1 ?? 500)
      .u32(a.t2 ?? 800);
    for (const { text, preferred, valid } of a.addresses ?? [ONE]) {
      out.begin(O.IaAddress).bytes(bytesOf(text)).u32(preferred).u32(valid).end();
    }
    if (a.iaStatus !== undefined) out.option(O.StatusCode, [0, a.iaStatus]);
    out.end();
  }
  for (const [code, value] of a.options ?? []) out.option(code, value);
  return out.finish();
}

function setup(options: Dhcp6Options = {}, seed = 1) {
  const w = world(seed);
  const used: Lease6[] = [];
  const forgotten: string[] = [];
  const host = {
    use: (lease: Lease6) => void used.push(lease),
    forget: (a: Int32Array) => void forgotten.push(format(a)),
  };
  const client = new Dhcp6Client(w.shared, { number: 2, mac: MAC }, w.io, host, options);
  const give = (bytes: Uint8Array) => {
    w.io.give(w.io.opened.length - 1, bytes, ROUTER, 547);
    client.poll();
  };
  const last = (): Sent => w.io.sent.at(-1)!;
  return { ...w, client, used, forgotten, give, last };
}

const typeOf = (sent: Sent): number => sent.bytes[0]!;

function optionsOf(sent: Sent): Map<number, Uint8Array> {
  const view = viewOf(sent.bytes);
  const options = dhcp6.readOptions(view, 4, sent.bytes.length - 4)!;
  return new Map(options.map((option) => [option.code, dhcp6.optionBytes(view, option)]));
}

function bind(s: ReturnType<typeof setup>, a: Answer = {}): void {
  s.client.start(true);
  run(s.shared, s.client, S);
  s.give(answer(T.Advertise, s.last(), { ...a, preference: 255 }));
  s.give(answer(T.Reply, s.last(), a));
  expect(s.client.state).toBe(Dhcp6State.Bound);
}

describe('RFC 8415 §18.2.1, Solicit', () => {
  test('goes to ff02::1:2 port 547 within a second, with identifier, elapsed time 0, IA and option request', () => {
    const s = setup({ hostName: 'a.lab', rapidCommit: true });
    s.client.start(true);
    run(s.shared, s.client, S);
    const sent = s.io.sent[0]!;
    expect(sent).toMatchObject({ target: 'ff02::1:2', port: 547 });
    expect(s.io.opened[0]).toMatchObject({ isIp6: true, port: 546, iface: 2 });
    expect(typeOf(sent)).toBe(T.Solicit);
    const options = optionsOf(sent);
    expect(options.get(O.ClientId)).toEqual(DUID);
    expect(options.get(O.ElapsedTime)).toEqual(Uint8Array.of(0, 0));
    expect(options.get(O.IaNa)).toEqual(Uint8Array.of(0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0));
    expect(options.get(O.Oro)).toEqual(Uint8Array.of(0, 23, 0, 24, 0, 82)); // §21.24: SOL_MAX_RT must be asked for
    expect(options.get(O.Fqdn)).toEqual(Uint8Array.of(1, 1, 97, 3, 108, 97, 98, 0));
    expect(options.has(O.RapidCommit)).toBe(true);
    expect(options.has(O.ServerId)).toBe(false);
    expect(options.has(O.ReconfAccept)).toBe(false);
  });

  test('doubles its wait with RAND of a tenth, the first above a second, §15; up to SOL_MAX_RT', () => {
    const s = setup();
    s.client.start(true);
    run(s.shared, s.client, 30_000 * S);
    const gaps = s.io.sent.slice(1).map((sent, i) => (sent.atUs - s.io.sent[i]!.atUs) / S);
    expect(gaps[0]).toBeGreaterThan(1);
    expect(gaps[0]).toBeLessThanOrEqual(1.1);
    for (let i = 1; i < 10; i++) {
      expect(gaps[i]! / gaps[i - 1]!).toBeGreaterThanOrEqual(1.9);
      expect(gaps[i]! / gaps[i - 1]!).toBeLessThanOrEqual(2.1);
    }
    for (const gap of gaps) expect(gap).toBeLessThanOrEqual(3960);
    const elapsed = s.io.sent.map((sent) => viewOf(optionsOf(sent).get(O.ElapsedTime)!).getUint16(0));
    expect(elapsed[1]).toBe(Math.floor(gaps[0]! * 100));
    expect(elapsed.at(-1)).toBe(0xffff);
    expect(new Set(s.io.sent.map((sent) => dhcp6.xid(viewOf(sent.bytes), 0))).size).toBe(1);
  });

  test('collects for the first wait and takes the highest preference', () => {
    const s = setup();
    s.client.start(true);
    run(s.shared, s.client, S);
    const solicit = s.last();
    s.give(answer(T.Advertise, solicit, { preference: 3 }));
    s.give(answer(T.Advertise, solicit, { preference: 7, server: OTHER }));
    s.give(answer(T.Advertise, solicit, { preference: 5 }));
    expect(s.client.state).toBe(Dhcp6State.Soliciting);
    run(s.shared, s.client, s.client.deadlineUs());
    expect(typeOf(s.last())).toBe(T.Request);
    expect(optionsOf(s.last()).get(O.ServerId)).toEqual(OTHER);
    expect(optionsOf(s.last()).get(O.IaNa)!.slice(12, 32)).toEqual(
      Uint8Array.from([0, 5, 0, 24, ...bytesOf(ONE.text)]),
    );
  });

  test('takes preference 255 at once, and any Advertise after the first wait', () => {
    const s = setup();
    s.client.start(true);
    run(s.shared, s.client, 4 * S);
    expect(s.io.sent.length).toBeGreaterThan(1);
    s.give(answer(T.Advertise, s.last()));
    expect(s.client.state).toBe(Dhcp6State.Requesting);
  });

  test('ignores an Advertise without addresses, but learns SOL_MAX_RT from it, §18.2.9', () => {
    const s = setup();
    s.client.start(true);
    run(s.shared, s.client, S);
    s.give(
      answer(T.Advertise, s.last(), {
        addresses: [],
        iaStatus: Status.NoAddrsAvail,
        options: [[O.SolMaxRt, [0, 0, 0, 60]]],
      }),
    );
    run(s.shared, s.client, 1000 * S);
    const gaps = s.io.sent.slice(1).map((sent, i) => (sent.atUs - s.io.sent[i]!.atUs) / S);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(66);
  });

  test('takes a Reply only with rapid commit on both sides', () => {
    const s = setup({ rapidCommit: true });
    s.client.start(true);
    run(s.shared, s.client, S);
    s.give(answer(T.Reply, s.last()));
    expect(s.client.state).toBe(Dhcp6State.Soliciting);
    s.give(answer(T.Reply, s.last(), { options: [[O.RapidCommit, []]] }));
    expect(s.client.state).toBe(Dhcp6State.Bound);
    const plain = setup();
    plain.client.start(true);
    run(plain.shared, plain.client, S);
    plain.give(answer(T.Reply, plain.last(), { options: [[O.RapidCommit, []]] }));
    expect(plain.client.state).toBe(Dhcp6State.Soliciting);
  });

  test.each<[string, Answer]>([
    ['for another client (§16.3)', { client: OTHER }],
    ['whose T1 is after T2 (§21.4)', { t1: 900, t2: 800 }],
    [
      'whose preferred lifetime is above the valid one (§21.6)',
      { addresses: [{ text: '2001:db8::1', preferred: 3, valid: 2 }] },
    ],
    ['of a group address', { addresses: [{ text: 'ff02::1', preferred: 1, valid: 2 }] }],
    ['with a failed status', { status: Status.UnspecFail }],
  ])('ignores an Advertise %s', (_what, a) => {
    const s = setup();
    s.client.start(true);
    run(s.shared, s.client, S);
    s.give(answer(T.Advertise, s.last(), { ...a, preference: 255 }));
    expect(s.client.state).toBe(Dhcp6State.Soliciting);
    expect(s.client.ignored).toBe(1);
  });
});

describe('RFC 8415 §18.2.2 and §18.2.10, Request and Reply', () => {
  test('gives up a server after 10 requests', () => {
    const s = setup();
    s.client.start(true);
    run(s.shared, s.client, S);
    s.give(answer(T.Advertise, s.last(), { preference: 255 }));
    run(s.shared, s.client, 400 * S);
    const types = s.io.sent.map(typeOf);
    expect(types.filter((type) => type === T.Request)).toHaveLength(10);
    expect(types.slice(11)).toContain(T.Solicit);
  });

  test('uses addresses, servers and names', () => {
    const s = setup();
    bind(s, {
      addresses: [ONE, { text: '2001:db8::98', preferred: 0xffffffff, valid: 0xffffffff }],
      options: [
        [O.DnsServers, Array.from(bytesOf('2001:db8::53'))],
        [O.DomainList, [3, 108, 97, 98, 0]],
      ],
    });
    const [lease] = s.used;
    expect(lease!.addresses.map((a) => format(a.address))).toEqual(['2001:db8::99', '2001:db8::98']);
    expect(lease!.addresses[0]!.validUntilUs).toBe(S + 2000 * S);
    expect(lease!.addresses[1]!.validUntilUs).toBe(Infinity);
    expect(lease!.dnsServers.map(format)).toEqual(['2001:db8::53']);
    expect(lease!.search).toEqual(['lab']);
  });

  test('renews at 0.5 and rebinds at 0.8 of the preferred lifetime if the server leaves it open, §21.4', () => {
    const s = setup();
    bind(s, { t1: 0, t2: 0 });
    expect(s.client.deadlineUs()).toBe(S + 500 * S);
    run(s.shared, s.client, 802 * S);
    expect(s.client.state).toBe(Dhcp6State.Rebinding);
  });

  test('with UnspecFail goes on asking; NoAddrsAvail and NotOnLink begin anew, after a pause', () => {
    const s = setup();
    s.client.start(true);
    run(s.shared, s.client, S);
    s.give(answer(T.Advertise, s.last(), { preference: 255 }));
    s.give(answer(T.Reply, s.last(), { status: Status.UnspecFail }));
    expect(s.client.state).toBe(Dhcp6State.Requesting);
    s.give(answer(T.Reply, s.last(), { addresses: [], iaStatus: Status.NoAddrsAvail }));
    expect(s.client.state).toBe(Dhcp6State.Waiting);
    expect(s.used).toEqual([]);
  });
});

describe('RFC 8415 §18.2.4 and §18.2.5, Renew and Rebind', () => {
  test('renews with the server at T1, rebinds with any at T2, and forgets the address at its end', () => {
    const s = setup();
    bind(s);
    run(s.shared, s.client, 502 * S);
    expect(typeOf(s.last())).toBe(T.Renew);
    expect(optionsOf(s.last()).get(O.ServerId)).toEqual(SERVER);
    run(s.shared, s.client, 802 * S);
    expect(typeOf(s.last())).toBe(T.Rebind);
    expect(optionsOf(s.last()).has(O.ServerId)).toBe(false);
    const first = s.io.sent.find((sent) => typeOf(sent) === T.Rebind)!;
    expect(first.atUs).toBe(801 * S);
    run(s.shared, s.client, 2000 * S);
    expect(s.forgotten).toEqual([]);
    run(s.shared, s.client, 2003 * S);
    expect(s.forgotten).toEqual([ONE.text]);
    expect(typeOf(s.last())).toBe(T.Solicit);
  });

  test('an answer extends, adds, and takes away what has lifetime 0', () => {
    const s = setup();
    bind(s);
    run(s.shared, s.client, 502 * S);
    const renewedUs = s.shared.nowUs;
    s.give(
      answer(T.Reply, s.last(), {
        addresses: [
          { text: '2001:db8::aa', preferred: 100, valid: 200 },
          { ...ONE, preferred: 0, valid: 0 },
        ],
      }),
    );
    expect(s.client.state).toBe(Dhcp6State.Bound);
    expect(s.forgotten).toEqual([ONE.text]);
    expect(s.client.lease.addresses.map((a) => [format(a.address), a.validUntilUs])).toEqual([
      ['2001:db8::aa', renewedUs + 200 * S],
    ]);
  });

  test('the answer of another server to a Renew does not count, to a Rebind it does', () => {
    const s = setup();
    bind(s);
    run(s.shared, s.client, 502 * S);
    s.give(answer(T.Reply, s.last(), { server: OTHER }));
    expect(s.client.state).toBe(Dhcp6State.Renewing);
    run(s.shared, s.client, 802 * S);
    s.give(answer(T.Reply, s.last(), { server: OTHER }));
    expect(s.client.state).toBe(Dhcp6State.Bound);
    expect(s.used).toHaveLength(2);
  });

  test('NoBinding makes a Request of it, an answer without IA nothing', () => {
    const s = setup();
    bind(s);
    run(s.shared, s.client, 502 * S);
    s.give(answer(T.Reply, s.last(), { noIa: true }));
    expect(s.client.state).toBe(Dhcp6State.Renewing);
    s.give(answer(T.Reply, s.last(), { addresses: [], iaStatus: Status.NoBinding }));
    expect(typeOf(s.last())).toBe(T.Request);
    s.give(answer(T.Reply, s.last()));
    expect(s.client.state).toBe(Dhcp6State.Bound);
  });
});

describe('RFC 8415 §18.2.3, Confirm', () => {
  test('names the addresses with lifetimes of 0 and goes on when confirmed', () => {
    const s = setup();
    bind(s);
    s.client.reconfirm();
    run(s.shared, s.client, s.client.deadlineUs());
    expect(typeOf(s.last())).toBe(T.Confirm);
    expect(optionsOf(s.last()).get(O.IaNa)!.slice(16)).toEqual(
      Uint8Array.from([...bytesOf(ONE.text), 0, 0, 0, 0, 0, 0, 0, 0]),
    );
    expect(optionsOf(s.last()).has(O.ServerId)).toBe(false);
    s.give(answer(T.Reply, s.last(), { noIa: true, status: Status.Success }));
    expect(s.client.state).toBe(Dhcp6State.Bound);
    expect(s.client.deadlineUs()).toBe(501 * S);
  });

  test('goes on after 10 s of silence, and begins anew when not on link', () => {
    const s = setup();
    bind(s);
    s.client.reconfirm();
    run(s.shared, s.client, 13 * S);
    expect(s.client.state).toBe(Dhcp6State.Bound);
    s.client.reconfirm();
    run(s.shared, s.client, 15 * S);
    s.give(answer(T.Reply, s.last(), { noIa: true, status: Status.NotOnLink }));
    expect(s.forgotten).toEqual([ONE.text]);
    run(s.shared, s.client, 17 * S);
    expect(typeOf(s.last())).toBe(T.Solicit);
  });
});

test('releases: forgets at once, says so up to 4 times, ends with an answer, §18.2.7', () => {
  const s = setup();
  bind(s);
  s.client.stop();
  expect(s.forgotten).toEqual([ONE.text]);
  expect(typeOf(s.last())).toBe(T.Release);
  expect(optionsOf(s.last()).get(O.ServerId)).toEqual(SERVER);
  expect(optionsOf(s.last()).get(O.IaNa)!.slice(16, 32)).toEqual(bytesOf(ONE.text));
  run(s.shared, s.client, 100 * S);
  expect(s.io.sent.filter((sent) => typeOf(sent) === T.Release)).toHaveLength(4);
  expect(s.client.state).toBe(Dhcp6State.Stopped);
  expect(s.io.openCount).toBe(0);
  const quick = setup();
  bind(quick);
  quick.client.stop();
  quick.give(answer(T.Reply, quick.last(), { noIa: true, status: Status.Success }));
  expect(quick.client.state).toBe(Dhcp6State.Stopped);
});

test('declines an address that somebody else has, and asks for another, §18.2.8', () => {
  const s = setup();
  bind(s);
  s.client.decline(parse(ONE.text)!);
  expect(typeOf(s.last())).toBe(T.Decline);
  expect(optionsOf(s.last()).get(O.IaNa)!.slice(16, 32)).toEqual(bytesOf(ONE.text));
  expect(s.forgotten).toEqual([ONE.text]);
  s.give(answer(T.Reply, s.last(), { noIa: true }));
  run(s.shared, s.client, 3 * S);
  expect(typeOf(s.last())).toBe(T.Solicit);
});

test.each([
  [undefined, 86400],
  [100, 600], // IRT_MINIMUM
  [5000, 5000],
])('asks for other configuration and refreshes it: option 32 %s gives %s s, §18.2.6, §21.23', (refresh, seconds) => {
  const s = setup();
  s.client.start(false);
  run(s.shared, s.client, S);
  const sent = s.last();
  expect(typeOf(sent)).toBe(T.InformationRequest);
  expect(optionsOf(sent).has(O.IaNa)).toBe(false);
  expect(optionsOf(sent).get(O.Oro)).toEqual(Uint8Array.of(0, 23, 0, 24, 0, 32, 0, 83));
  const options: [number, number[]][] = [[O.DnsServers, Array.from(bytesOf('2001:db8::53'))]];
  if (refresh !== undefined) options.push([O.InformationRefreshTime, [0, 0, refresh >>> 8, refresh & 255]]);
  s.give(answer(T.Reply, sent, { noIa: true, options }));
  expect(s.client.lease.dnsServers.map(format)).toEqual(['2001:db8::53']);
  expect(s.client.deadlineUs()).toBe(S + seconds * S);
});

test('a Reconfigure is ignored: it was not accepted, §18.3.11', () => {
  const s = setup();
  bind(s);
  s.give(answer(T.Reconfigure, s.last()));
  expect(s.client.state).toBe(Dhcp6State.Bound);
  expect(s.client.ignored).toBe(1);
});

test('a message that cannot be sent is sent again', () => {
  const s = setup();
  s.io.sendError = -99;
  s.client.start(true);
  run(s.shared, s.client, S);
  s.io.sendError = 0;
  run(s.shared, s.client, 3 * S);
  expect(s.io.sent.length).toBeGreaterThan(0);
});

test('goes on identically after save and load, at every step', () => {
  const until = [0, S, S, 2 * S, 502 * S, 900 * S];
  for (let step = 0; step < until.length; step++) {
    const a = setup({}, 7);
    const b = setup({}, 7);
    a.client.start(true);
    if (step > 0) run(a.shared, a.client, S);
    if (step > 1) a.give(answer(T.Advertise, a.last(), { preference: 255 }));
    if (step > 2) a.give(answer(T.Reply, a.last()));
    run(a.shared, a.client, until[step]!);
    b.shared.nowUs = a.shared.nowUs;
    for (const options of a.io.opened) if (options) b.io.open(options);
    transfer(a.client, b.client);
    expect(saved(b.client)).toEqual(saved(a.client));
    a.io.sent.length = 0;
    for (const s of [a, b]) run(s.shared, s.client, 5000 * S);
    expect(a.io.sent.length).toBeGreaterThan(3);
    expect(b.io.sent).toEqual(a.io.sent);
    expect(b.forgotten).toEqual(a.forgotten);
  }
});

test('random and damaged messages never throw, and never bind', () => {
  const s = setup();
  s.client.start(true);
  run(s.shared, s.client, S);
  const xid = s.last().bytes.slice(1, 4);
  const good = answer(T.Advertise, s.last());
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(2, 7, 10), fc.nat(90), (noise, type, cut) => {
      s.give(Uint8Array.from([type, ...xid, ...noise]));
      s.give(noise);
      s.give(good.slice(0, good.length - 1 - (cut % (good.length - 1))));
      expect(s.client.state).toBe(Dhcp6State.Soliciting);
    }),
  );
  expect(s.used).toEqual([]);
});
