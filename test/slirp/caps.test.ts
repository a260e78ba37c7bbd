import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CAPS, type CapsOptions, capsOf, FlowCaps, shareOf } from '../../slirp/caps.ts';
import { FlowKind, NO_STATION } from '../../slirp/parts.ts';
import { type Address, addressOf4, parseAddress } from '../../stack/stack.ts';
import '../kit/seed.ts';

const { Tcp, Udp, Echo, Connecting } = FlowKind;
const guest = (n: number): Address => addressOf4(0x0a000200 + n);
const MAC = 0x020000000000;
const SOME = guest(1);
/** A flow of the guest with this number: true if it may. */
const take = (caps: FlowCaps, kind: FlowKind, n: number): boolean => caps.take(kind, SOME, MAC + n) !== NO_STATION;
const give = (caps: FlowCaps, kind: FlowKind, n: number): void => caps.give(kind, caps.find(SOME, MAC + n));
/** Caps whose stations give up what they are asked for, and who did. */
function generous(options: Partial<CapsOptions>): { caps: FlowCaps; gave: number[] } {
  const caps = new FlowCaps(options);
  const gave: number[] = [];
  for (const kind of [Tcp, Udp, Echo, Connecting]) {
    caps.setGiver(kind, (station) => {
      gave.push(station);
      caps.give(kind, station);
      return true;
    });
  }
  return { caps, gave };
}

describe('caps', () => {
  test.each([
    [Tcp, 'tcpPerGuest', 4096],
    [Udp, 'udpPerGuest', 2048],
    [Echo, 'echoPerGuest', 64],
    [Connecting, 'connectingPerGuest', 1024],
  ] as const)('kind %i: a guest has at most %s, %i by default', (kind, key, most) => {
    expect(CAPS[key]).toBe(most);
    const caps = new FlowCaps();
    for (let i = 0; i < most; i++) expect(take(caps, kind, 1)).toBe(true);
    expect(take(caps, kind, 1)).toBe(false);
    expect(take(caps, kind, 2)).toBe(true);
    give(caps, kind, 1);
    expect(take(caps, kind, 1)).toBe(true);
    expect(take(caps, kind, 1)).toBe(false);
  });

  test.each([
    [Tcp, 16384],
    [Udp, 8192],
    [Echo, 1024],
    [Connecting, 4096],
  ])('kind %i: all together have at most %i', (kind, most) => {
    const caps = new FlowCaps();
    for (let i = 0; i < most; i++) expect(take(caps, kind, i % 200)).toBe(true);
    expect(caps.total(kind)).toBe(most);
    expect(take(caps, kind, 250)).toBe(false); // nobody gives anything up
    give(caps, kind, 7);
    expect(take(caps, kind, 250)).toBe(true);
  });

  test('one guest that may have more than all had may have them', () => {
    expect(capsOf({ tcpPerGuest: 65536 })).toMatchObject({ tcpPerGuest: 65536, tcpMax: 65536, udpMax: 8192 });
    expect(capsOf({ tcpPerGuest: 65536, tcpMax: 100 })).toMatchObject({ tcpMax: 100 });
  });

  test('a guest is its hardware address, whatever addresses it sends from', () => {
    const caps = new FlowCaps({ udpPerGuest: 2 });
    const took = ['fd00::1', 'fd00::2', '10.0.2.9'].map((text) => caps.take(Udp, parseAddress(text)!, MAC));
    expect(took).toEqual([0, 0, NO_STATION]);
    expect(caps.take(Udp, parseAddress('fd00::1')!, MAC + 1)).toBe(1);
  });

  test('where ports are known a guest is its port, whatever hardware addresses it forges', () => {
    const portOf = (mac: number): number => (mac < MAC + 100 ? 7 : -1);
    const caps = new FlowCaps({ udpPerGuest: 2 }, { portOf });
    expect([1, 2, 3, 100, 101].map((n) => take(caps, Udp, n))).toEqual([true, true, false, true, true]);
    expect(caps.stations).toBe(3);
  });

  test('what came from outside is counted beside what the guest opened', () => {
    const caps = new FlowCaps({ tcpPerGuest: 1 });
    expect(caps.take(Tcp, SOME, MAC)).toBe(0);
    expect(caps.take(Tcp, SOME, 0)).toBe(1);
    expect([caps.take(Tcp, SOME, MAC), caps.take(Tcp, SOME, 0)]).toEqual([NO_STATION, NO_STATION]);
  });

  test('full, who has fewer takes from who has most, until they have as many', () => {
    const { caps, gave } = generous({ tcpMax: 100 });
    for (let i = 0; i < 90; i++) take(caps, Tcp, 1);
    for (let i = 0; i < 10; i++) take(caps, Tcp, 2);
    expect(take(caps, Tcp, 1)).toBe(false);
    let took = 0;
    for (let i = 0; i < 100; i++) if (take(caps, Tcp, 3)) took++;
    expect(took).toBe(45);
    expect(new Set(gave)).toEqual(new Set([0]));
    expect(caps.total(Tcp)).toBe(100);
  });

  test('nobody goes below the share, so that forged stations take nothing of those who have few', () => {
    const { caps, gave } = generous({ tcpMax: 1024 });
    expect(shareOf(1024)).toBe(4);
    for (let i = 0; i < 8; i++) take(caps, Tcp, 0);
    for (let n = 1; n < 2000; n++) take(caps, Tcp, n);
    expect(gave).toEqual([0, 0, 0, 0]);
    expect(caps.total(Tcp)).toBe(1024);
  });

  test('a connection is counted as connecting for the station that it has', () => {
    const { caps, gave } = generous({ connectingPerGuest: 2, connectingMax: 3 });
    const a = caps.take(Tcp, SOME, MAC);
    expect([caps.takeFor(Connecting, a), caps.takeFor(Connecting, a), caps.takeFor(Connecting, a)]).toEqual([
      true,
      true,
      false,
    ]);
    const b = caps.take(Tcp, SOME, MAC + 1);
    const c = caps.take(Tcp, SOME, MAC + 2);
    expect([caps.takeFor(Connecting, b), caps.takeFor(Connecting, c)]).toEqual([true, true]);
    expect(gave).toEqual([a]);
  });

  test('a station without flows is none, and who had none gives nothing back', () => {
    const caps = new FlowCaps();
    caps.give(Tcp, NO_STATION);
    take(caps, Udp, 1);
    give(caps, Tcp, 1);
    expect([caps.total(Tcp), caps.total(Udp), caps.stations]).toEqual([0, 1, 1]);
    give(caps, Udp, 1);
    expect([caps.stations, caps.find(SOME, MAC + 1)]).toEqual([0, NO_STATION]);
  });

  test('counts as a table of texts would', () => {
    const act = fc.tuple(fc.boolean(), fc.constantFrom(Tcp, Udp, Echo), fc.nat(150));
    fc.assert(
      fc.property(fc.array(act, { maxLength: 600 }), (acts) => {
        const caps = new FlowCaps(BOUNDS);
        const model = new Model();
        for (const [isTake, kind, who] of acts) {
          if (isTake) expect(take(caps, kind, who)).toBe(model.take(kind, who));
          else {
            give(caps, kind, who);
            model.give(kind, who);
          }
          expect(caps.stations).toBe(model.stations);
          expect(caps.total(kind)).toBe(model.total(kind));
        }
      }),
    );
  });
});

const BOUNDS = { tcpPerGuest: 3, udpPerGuest: 2, tcpMax: 70 };

class Model {
  private readonly counts = new Map<string, number>();

  get stations(): number {
    return new Set([...this.counts].filter(([, n]) => n > 0).map(([key]) => key.split('|')[1]!)).size;
  }

  total(kind: number): number {
    return [...this.counts].reduce((n, [key, m]) => n + (key.startsWith(`${kind}|`) ? m : 0), 0);
  }

  take(kind: number, who: number): boolean {
    const had = this.counts.get(`${kind}|${who}`) ?? 0;
    const most = kind === Tcp ? BOUNDS.tcpPerGuest : kind === Udp ? BOUNDS.udpPerGuest : CAPS.echoPerGuest;
    if (had >= most || (kind === Tcp && this.total(Tcp) >= BOUNDS.tcpMax)) return false;
    this.counts.set(`${kind}|${who}`, had + 1);
    return true;
  }

  give(kind: number, who: number): void {
    const key = `${kind}|${who}`;
    this.counts.set(key, Math.max(0, (this.counts.get(key) ?? 0) - 1));
  }
}
