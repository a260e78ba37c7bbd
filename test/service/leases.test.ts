import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../core/assert.ts';
import { type Client, type LeaseOptions, Leases } from '../../service/leases.ts';
import type { GuestNames } from '../../service/names.ts';
import { type Address, formatAddress, parseAddress } from '../../stack/stack.ts';

const T = 1_790_000_000; // a wall clock
const ip = (text: string): Address => parseAddress(text)!;
const mac = (n: number): string => `02:00:00:00:${hex(n >> 8)}:${hex(n & 255)}`;
const hex = (n: number): string => n.toString(16).padStart(2, '0');

/** Guest `n`, as it is without an identifier of its own. */
function guest(n: number, name = '', id = `01${mac(n).replaceAll(':', '')}`): Client {
  return { id, where: mac(n), mac: mac(n), name };
}

const guest6 = (n: number, name = ''): Client => ({
  id: `00030001${mac(n).replaceAll(':', '')}00000001`,
  where: `fe80::${n.toString(16)}`,
  mac: mac(n),
  name,
});

class Published implements GuestNames {
  readonly byAddress = new Map<string, string>();
  set(name: string, address: Address): void {
    this.byAddress.set(formatAddress(address), name);
  }
  remove(address: Address): void {
    this.byAddress.delete(formatAddress(address));
  }
}

function table(options: Partial<LeaseOptions> = {}): Leases {
  return new Leases({
    leaseS: 3600,
    pool4: { first: ip('10.0.2.15'), count: 240, bits: 24 },
    pool6: { first: ip('fd00::1000'), count: 4096, bits: 64 },
    ...options,
  });
}

/** What a client gets that asks and takes what it is offered. */
function lease(leases: Leases, client: Client, nowS = T, wanted?: string): string {
  const offered = leases.offer(client, client.where.startsWith('fe80'), wanted ? ip(wanted) : undefined, nowS);
  const bound = offered && leases.bind(client, offered.address, nowS);
  return bound ? formatAddress(bound.address) : 'none';
}

describe('choice', () => {
  test('gives a client what it had, after it was released, ran out, and the table was made anew', () => {
    const leases = table();
    const first = lease(leases, guest(1));
    expect(lease(leases, guest(1), T + 10)).toBe(first);
    expect(leases.release(guest(1), ip(first), T + 20)).toBe(true);
    for (let n = 2; n < 100; n++) expect(lease(leases, guest(n), T + 30)).not.toBe(first);
    expect(lease(leases, guest(1), T + 40)).toBe(first);
    expect(lease(leases, guest(1), T + 40 + 7200)).toBe(first);
    expect(lease(table(), guest(1))).toBe(first); // by hash
  });

  test('is another for each of 240 clients, and then none, and counts that', () => {
    const leases = table();
    const got = new Set(Array.from({ length: 240 }, (_, n) => lease(leases, guest(n))));
    expect(got.size).toBe(240);
    expect(got.has('none')).toBe(false);
    expect([...got].every((one) => Number(one.split('.')[3]) >= 15 && Number(one.split('.')[3]) <= 254)).toBe(true);
    expect(lease(leases, guest(1000))).toBe('none');
    expect(leases.counters.exhausted).toBe(1);
  });

  test('takes what expired longest ago when all are used', () => {
    const leases = table({ pool4: { first: ip('10.0.2.15'), count: 3, bits: 24 } });
    const [a, b, c] = [1, 2, 3].map((n) => lease(leases, guest(n), T));
    leases.release(guest(2), ip(b!), T + 1);
    leases.release(guest(1), ip(a!), T + 2);
    expect(lease(leases, guest(4), T + 3)).toBe(b);
    expect(lease(leases, guest(5), T + 3)).toBe(a);
    expect(lease(leases, guest(6), T + 3)).toBe('none');
    expect(lease(leases, guest(3), T + 3)).toBe(c);
    expect(lease(leases, guest(2), T + 3)).toBe('none'); // its place was taken, rightly
  });

  test('heeds a wish that is free, and no other', () => {
    const leases = table();
    expect(lease(leases, guest(1), T, '10.0.2.99')).toBe('10.0.2.99');
    expect(lease(leases, guest(2), T, '10.0.2.99')).not.toBe('10.0.2.99');
    expect(lease(leases, guest(3), T, '10.0.2.2')).toMatch(/^10\.0\.2\.(1[5-9]|[2-9]\d|\d{3})$/);
    expect(lease(leases, guest(4), T, '192.168.1.1')).toMatch(/^10\.0\.2\./);
  });

  test('goes up from the first if it is to be sequential, past what is excluded', () => {
    const pool4 = { first: ip('10.0.2.1'), count: 9, bits: 24, isSequential: true };
    const leases = table({ pool4: { ...pool4, excluded: [ip('10.0.2.1'), ip('10.0.2.3'), ip('10.9.9.9')] } });
    expect([1, 2, 3].map((n) => lease(leases, guest(n)))).toEqual(['10.0.2.2', '10.0.2.4', '10.0.2.5']);
  });

  test('of IPv6 is by link-local address, DUID and IAID', () => {
    const leases = table();
    const first = lease(leases, guest6(1));
    expect(first).toMatch(/^fd00::[12][0-9a-f]{3}$/);
    const cloned = { ...guest6(2), id: guest6(1).id };
    expect(lease(leases, cloned)).not.toBe(first);
    expect(lease(leases, guest6(1))).toBe(first);
  });
});

describe('whose it is', () => {
  test('a client cannot have, release or decline what is another’s', () => {
    const leases = table();
    const address = ip(lease(leases, guest(1)));
    expect(leases.standing(guest(2), address, T)).toBe('taken');
    expect(leases.bind(guest(2), address, T)).toBeUndefined();
    expect(leases.release(guest(2), address, T)).toBe(false);
    expect(leases.decline(guest(2), address, T)).toBe(false);
    // Neither who repeats another's identifier, nor who has another at the same place.
    const thief = guest(2, '', guest(1).id);
    expect(leases.bind(thief, address, T)).toBeUndefined();
    expect(leases.release(thief, address, T)).toBe(false);
    expect(leases.standing(guest(1, '', 'ff00'), address, T)).toBe('taken');
    expect(leases.standing(guest(1), address, T)).toBe('mine');
  });

  test('an address of another network, of no pool, or beside the own', () => {
    const leases = table();
    const own = ip(lease(leases, guest(1)));
    expect(leases.standing(guest(1), ip('192.168.0.1'), T)).toBe('away');
    expect(leases.standing(guest(1), ip('10.0.2.255'), T)).toBe('away'); // the subnet's broadcast
    expect(leases.standing(guest(2), ip('10.0.2.3'), T)).toBe('taken');
    const other = own.slice();
    other[3] = own[3]! >>> 0 === ip('10.0.2.99')[3]! >>> 0 ? ip('10.0.2.98')[3]! : ip('10.0.2.99')[3]!;
    expect(leases.standing(guest(1), other, T)).toBe('other');
    expect(leases.standing(guest(2), other, T)).toBe('free');
  });

  test('one place has eight leases at most, and is told no', () => {
    const leases = table();
    const got = Array.from({ length: 12 }, (_, i) => lease(leases, guest(1, '', `ff${hex(i)}`)));
    expect(got.filter((one) => one !== 'none')).toHaveLength(8);
    expect(leases.counters.guestFull).toBe(4);
    const free = Array.from({ length: 99 }, (_, i) => ip(`10.0.2.${100 + i}`));
    const unused = free.find((address) => leases.standing(guest(1, '', 'ffff'), address, T) === 'free')!;
    expect(leases.bind(guest(1, '', 'ffff'), unused, T)).toBeUndefined();
  });

  test('an offer is kept for half a minute', () => {
    const leases = table({ pool4: { first: ip('10.0.2.15'), count: 1, bits: 24 } });
    expect(leases.offer(guest(1), false, undefined, T)?.state).toBe('offered');
    expect(leases.offer(guest(2), false, undefined, T + 29)).toBeUndefined();
    expect(leases.deadlineS()).toBe(T + 30);
    expect(leases.offer(guest(2), false, undefined, T + 30)).toBeDefined();
    expect(leases.standing(guest(1), ip('10.0.2.15'), T + 31)).toBe('taken');
  });

  test('what is declined is nobody’s for a while, and never more than a quarter of the pool', () => {
    const leases = table({ pool4: { first: ip('10.0.2.16'), count: 8, bits: 24 } });
    const declined = [1, 2, 3, 4, 5, 6].map((n) => {
      const address = lease(leases, guest(n), T);
      expect(leases.decline(guest(n), ip(address), T)).toBe(true);
      return address;
    });
    expect(leases.list().filter((one) => one.state === 'declined')).toHaveLength(2);
    expect(leases.standing(guest(9), ip(declined[0]!), T)).toBe('taken');
    expect(new Set([10, 11, 12, 13, 14, 15].map((n) => lease(leases, guest(n), T))).has('none')).toBe(false);
    expect(lease(leases, guest(16), T)).toBe('none');
    expect(lease(leases, guest(16), T + 600)).not.toBe('none');
  });
});

describe('reservations', () => {
  const reservations = [
    { address: ip('10.0.2.5'), mac: '02:00:00:00:00:05', name: 'Printer' },
    { address: ip('10.0.2.20'), client: 'ffaa' },
    { address: ip('10.0.2.21'), name: 'web' },
    { address: ip('fd00::5'), mac: '02:00:00:00:00:05', name: 'printer' },
  ];

  test('are by MAC address, identifier or name, in the pool or beside it, for either family', () => {
    const leases = table({ reservations });
    expect(lease(leases, guest(5))).toBe('10.0.2.5');
    expect(lease(leases, guest6(5))).toBe('fd00::5');
    expect(lease(leases, guest(6, '', 'ffaa'))).toBe('10.0.2.20');
    expect(lease(leases, guest(7, 'Web.example'))).toBe('10.0.2.21');
    expect(lease(leases, guest(8, 'web'))).not.toBe('10.0.2.21'); // who came first has it
  });

  test('are not for others, who may not have their names either', () => {
    const names = new Published();
    const leases = table({ reservations, names });
    expect(leases.standing(guest(9), ip('10.0.2.20'), T)).toBe('taken');
    expect(lease(leases, guest(9, 'printer'), T, '10.0.2.5')).not.toBe('10.0.2.5');
    expect(leases.list()[0]!.name).toBe('printer-2');
    lease(leases, guest(5, 'whatever'));
    expect(names.byAddress.get('10.0.2.5')).toBe('printer');
  });

  test('move a client that had another, and follow a machine from one program to its next', () => {
    const before = table();
    const old = ip(lease(before, guest(5)));
    const leases = table({ reservations });
    expect(leases.load(before.save(T), T)).toBe('');
    expect(leases.standing(guest(5), old, T)).toBe('other');
    expect(lease(leases, guest(5))).toBe('10.0.2.5');
    expect(lease(leases, guest(5, '', 'ff1234'))).toBe('10.0.2.5');
    expect(leases.standing(guest(5, '', 'ff1234'), ip('10.0.2.5'), T)).toBe('mine');
  });

  test.each([
    [{ address: ip('10.0.3.1'), mac: mac(1) }, /10\.0\.3\.1 cannot be reserved: it is not of the subnet/],
    [{ address: ip('10.0.2.9'), mac: '02:00' }, /MAC address '02:00'; write aa:bb:cc:dd:ee:ff/],
    [{ address: ip('10.0.2.9'), client: 'xyz' }, /client 'xyz'; write its bytes in hexadecimal/],
    [{ address: ip('10.0.2.9'), name: '...' }, /name '\.\.\.'; use letters and digits/],
    [{ address: ip('10.0.2.9') }, /reserved for nobody/],
    [{ address: ip('10.0.2.5'), mac: mac(9) }, /10\.0\.2\.5 is reserved twice/],
  ])('that are wrong are refused: %j', (wrong, message) => {
    const make = (): Leases => table({ reservations: [...reservations, wrong] });
    expect(make).toThrow(UsageError);
    expect(make).toThrow(message);
  });
});

describe('options', () => {
  test.each([
    [{ leaseS: 5 }, /leases of 5 s: expected 60 to/],
    [{ pool4: { first: ip('10.0.2.15'), count: 0, bits: 24 } }, /pool of 0 addresses at 10\.0\.2\.15: expected 1 to/],
    [{ pool4: { first: ip('10.0.2.15'), count: 250, bits: 24 } }, /leaves its subnet of 24 bits; make it smaller/],
    [{ pool6: { first: ip('fd00::1'), count: 9, bits: 129 } }, /pool of 129 prefix bits at fd00::1: expected 1 to 128/],
    [{ pool4: { first: ip('10.0.2.9'), count: 1, bits: 24, excluded: [ip('10.0.2.9')] } }, /has no address left/],
  ])('that are wrong are refused: %j', (wrong, message) => {
    expect(() => table(wrong)).toThrow(UsageError);
    expect(() => table(wrong)).toThrow(message);
  });
});

describe('names', () => {
  test('are a label of letters and digits, one guest’s at a time, of both its families', () => {
    const names = new Published();
    const leases = table({ names });
    const a = lease(leases, guest(1, 'My Host_1.example.org'));
    const a6 = lease(leases, guest6(1, 'my-host-1'));
    const b = lease(leases, guest(2, 'MY-HOST-1'));
    const c = lease(leases, guest(3, '...'));
    const d = lease(leases, guest(4, 'wpad'));
    expect([...names.byAddress]).toEqual([
      [a, 'my-host-1'],
      [a6, 'my-host-1'],
      [b, 'my-host-1-2'],
      [d, 'wpad-2'],
    ]);
    expect(names.byAddress.has(c)).toBe(false);
    leases.release(guest(1), ip(a), T);
    expect(lease(leases, guest(5, 'my-host-1'))).not.toBe('none');
    expect([...names.byAddress.values()]).toEqual(['my-host-1', 'my-host-1-2', 'wpad-2', 'my-host-1-3']);
    leases.release(guest6(1), ip(a6), T);
    lease(leases, guest(6, 'my-host-1'));
    expect([...names.byAddress.values()].at(-1)).toBe('my-host-1');
  });

  test('stay when a renewal does not say one, change when it says another, go when the lease runs out', () => {
    const names = new Published();
    const leases = table({ names, isNameTaken: (name) => name === 'dns' });
    const a = lease(leases, guest(1, 'one'));
    leases.bind(guest(1), ip(a), T + 100);
    expect(names.byAddress.get(a)).toBe('one');
    leases.bind(guest(1, 'two'), ip(a), T + 200);
    expect(names.byAddress.get(a)).toBe('two');
    leases.bind(guest(1, 'dns'), ip(a), T + 300);
    expect(names.byAddress.get(a)).toBe('dns-2');
    leases.expire(T + 300 + 3599);
    expect(names.byAddress.size).toBe(1);
    leases.expire(T + 300 + 3600);
    expect(names.byAddress.size).toBe(0);
    expect(leases.counters.expired).toBe(1);
  });
});

describe('a program of the engine', () => {
  test('holds its address until it is given back, whatever a DHCP client in it says', () => {
    const leases = table();
    const held = leases.hold(guest(1, 'web'), false, T)!;
    const address = held.address.slice();
    leases.expire(T + 1_000_000);
    expect(leases.release(guest(1), address, T + 1_000_000)).toBe(true);
    expect(leases.decline(guest(1), address, T + 1_000_000)).toBe(true);
    expect(leases.find(guest(1), false, T + 1_000_000)?.isHeld).toBe(true);
    leases.giveBack(mac(1), T + 1_000_000);
    expect(leases.find(guest(1), false, T + 1_000_000)).toBeUndefined();
    expect(formatAddress(leases.hold(guest(1), false, T + 2_000_000)!.address)).toBe(formatAddress(address));
  });
});

test('a client in a program keeps its address while the gateway is restarted and the program has not come back', () => {
  const leases = table();
  const { address } = leases.hold(guest(1, 'web'), false, T)!;
  const inside = guest(1, '', 'ff0102');
  expect(leases.standing(inside, address, T)).toBe('mine');
  const loaded = table();
  loaded.load(leases.save(T + 5), T + 5);
  expect(loaded.standing(inside, address, T + 5)).toBe('mine');
  expect(loaded.bind(inside, address, T + 5)?.client).toBe(guest(1).id);
  expect(loaded.hold(guest(1, 'web'), false, T + 6)?.address).toEqual(address);
  loaded.giveBack(mac(1), T + 7);
  expect(loaded.standing(inside, address, T + 8)).toBe('free');
});

describe('a file', () => {
  test('keeps leases, names, expired ones and the quarantine over a restart, not offers', () => {
    const names = new Published();
    const leases = table({ names });
    const a = lease(leases, guest(1, 'one'));
    const b = lease(leases, guest(2, 'two'));
    const c = lease(leases, guest6(1, 'one'));
    const d = lease(leases, guest(3));
    leases.hold(guest(4, 'four'), false, T);
    leases.release(guest(2), ip(b), T);
    leases.decline(guest(3), ip(d), T);
    leases.offer(guest(9), false, undefined, T);
    const text = leases.save(T);
    const again = new Published();
    const loaded = table({ names: again });
    expect(loaded.load(text, T + 100)).toBe('');
    expect(loaded.save(T)).toBe(text);
    expect(new Map([...again.byAddress].sort())).toEqual(new Map([...names.byAddress].sort()));
    expect(loaded.standing(guest(1), ip(a), T + 100)).toBe('mine');
    expect(loaded.standing(guest6(1), ip(c), T + 100)).toBe('mine');
    expect(loaded.standing(guest(5), ip(d), T + 100)).toBe('taken');
    expect(lease(loaded, guest(2), T + 100)).toBe(b);
    expect(loaded.list()).toHaveLength(5);
  });

  test('says by its revision when it is to be written', () => {
    const leases = table();
    const seen = [leases.revision];
    const look = (): boolean => seen.push(leases.revision) > 0 && seen.at(-1) !== seen.at(-2);
    const { address } = leases.offer(guest(1), false, undefined, T)!;
    expect(look()).toBe(false);
    leases.bind(guest(1), address, T);
    expect(look()).toBe(true);
    leases.bind(guest(1), address, T + 9);
    expect(look()).toBe(true);
    leases.expire(T + 9999);
    expect(look()).toBe(true);
    leases.expire(T + 9999);
    expect(look()).toBe(false);
  });

  test('does not make leases longer than they may be, though the clock was wrong', () => {
    const before = table();
    lease(before, guest(1), T + 1_000_000_000);
    const leases = table();
    leases.load(before.save(T), T);
    expect(leases.list()[0]!.untilS).toBe(T + 86_400);
  });

  test('leaves out what is not of the pools any more, and does not mind', () => {
    const before = table();
    for (let n = 0; n < 50; n++) lease(before, guest(n));
    const leases = table({ pool4: { first: ip('10.0.2.100'), count: 50, bits: 24 } });
    expect(leases.load(before.save(T), T)).toBe('');
    expect(leases.list().every((one) => /^10\.0\.2\.1[0-4]\d$/.test(formatAddress(one.address)))).toBe(true);
  });

  test.each([
    ['', /damaged or of another version/],
    ['garbage', /damaged or of another version/],
    ['{"leases":2}\n', /damaged or of another version/],
    ['[1]', /damaged or of another version/],
    ['{"leases":1}\n{"address":"10.0.2.15"}\nnull\n', /has 2 damaged lines: left out/],
  ])('that is damaged is one line for the operator: %j', (text, message) => {
    const leases = table();
    expect(leases.load(text, T)).toMatch(message);
    expect(leases.list()).toEqual([]);
  });

  test('of any text does not throw, and what it leaves can be used', () => {
    const leases = table();
    for (let n = 0; n < 5; n++) lease(leases, guest(n, 'x'));
    const good = leases.save(T);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.string({ maxLength: 8 }), fc.nat(40), (at, put, cut) => {
        const loaded = table();
        loaded.load(good.slice(0, at) + put + good.slice(at + cut), T);
        expect(loaded.list().length).toBeLessThanOrEqual(10);
        expect(lease(loaded, guest(77))).toMatch(/^10\.0\.2\./);
        expect(table().load(loaded.save(T), T)).toBe('');
      }),
      { seed: 7, numRuns: 500 },
    );
  });
});

/** A table of six addresses, and what is true of it at any time. */
class Model {
  names = new Published();
  leases: Leases;
  nowS = T;

  constructor() {
    this.leases = this.make();
  }

  private make(): Leases {
    const pool4 = { first: ip('10.0.2.16'), count: 6, bits: 24 };
    return table({ pool4, reservations: [{ address: ip('10.0.2.17'), mac: mac(3) }], names: this.names });
  }

  reload(): void {
    const text = this.leases.save(this.nowS);
    this.names = new Published();
    this.leases = this.make();
    expect(this.leases.load(text, this.nowS)).toBe('');
  }

  check(): void {
    const list = this.leases.list();
    expect(list.length).toBeLessThanOrEqual(6);
    expect(new Set(list.map((one) => formatAddress(one.address))).size).toBe(list.length);
    const clients = list.filter((one) => one.state !== 'declined').map((one) => `${one.where} ${one.client}`);
    expect(new Set(clients).size).toBe(clients.length);
    const named = list.filter((one) => one.state === 'bound' && one.name !== '');
    for (const one of named) expect(this.names.byAddress.get(formatAddress(one.address))).toBe(one.name);
    const bound = list.filter((one) => one.state === 'bound' || one.state === 'offered');
    expect(this.names.byAddress.size).toBeLessThanOrEqual(bound.length);
  }
}

type Act = (model: Model, client: Client, address: Address, last: number) => unknown;

const ACTS: Record<string, Act> = {
  offer: ({ leases, nowS }, client, address) => leases.offer(client, false, address, nowS),
  bind: ({ leases, nowS }, client, address) => leases.bind(client, address, nowS),
  release: ({ leases, nowS }, client, address) => leases.release(client, address, nowS),
  decline: ({ leases, nowS }, client, address) => leases.decline(client, address, nowS),
  hold: ({ leases, nowS }, client) => leases.hold(client, false, nowS),
  back: ({ leases, nowS }, client) => leases.giveBack(client.mac, nowS),
  reload: (model) => model.reload(),
  wait: (model, _client, _address, last) => {
    model.nowS += 500 * last;
    model.leases.expire(model.nowS);
  },
};

test('whatever clients do, an address has one client, a client one address, and the table its bound', () => {
  const what = fc.constantFrom(...Object.keys(ACTS));
  const step = fc.record({ n: fc.nat(12), id: fc.nat(3), what, last: fc.nat(12) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const model = new Model();
      for (const { n, id, what, last } of steps) {
        ACTS[what]!(model, guest(n, `h${n % 4}`, `ff${hex(id)}`), ip(`10.0.2.${15 + last}`), last);
        model.check();
      }
    }),
    { seed: 11, numRuns: 400 },
  );
});
