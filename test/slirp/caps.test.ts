import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CAPS, capsOf, FlowCaps } from '../../slirp/caps.ts';
import { Protocol } from '../../slirp/parts.ts';
import { type Address, addressOf4, parseAddress } from '../../stack/stack.ts';
import '../kit/seed.ts';

const { Tcp, Udp, Icmp, Icmp6 } = Protocol;
const guest = (n: number): Address => addressOf4(0x0a000200 + n);

describe('caps', () => {
  test.each([
    [Tcp, 'tcpPerGuest', 4096],
    [Udp, 'udpPerGuest', 2048],
    [Icmp, 'echoPerGuest', 64],
  ] as const)('protocol %i: a guest has at most %s, %i by default', (protocol, key, most) => {
    expect(CAPS[key]).toBe(most);
    const caps = new FlowCaps();
    for (let i = 0; i < most; i++) expect(caps.take(protocol, guest(1))).toBe(true);
    expect(caps.take(protocol, guest(1))).toBe(false);
    expect(caps.take(protocol, guest(2))).toBe(true);
    caps.give(protocol, guest(1));
    expect(caps.take(protocol, guest(1))).toBe(true);
    expect(caps.take(protocol, guest(1))).toBe(false);
  });

  test.each([
    [Tcp, 16384],
    [Udp, 8192],
    [Icmp, 1024],
  ])('protocol %i: all together have at most %i', (protocol, most) => {
    const caps = new FlowCaps();
    for (let i = 0; i < most; i++) expect(caps.take(protocol, guest(i % 200))).toBe(true);
    expect(caps.total(protocol)).toBe(most);
    expect(caps.take(protocol, guest(250))).toBe(false);
    caps.give(protocol, guest(7));
    expect(caps.take(protocol, guest(250))).toBe(true);
  });

  test('one guest that may have more than all had may have them', () => {
    expect(capsOf({ tcpPerGuest: 65536 })).toMatchObject({ tcpPerGuest: 65536, tcpMax: 65536, udpMax: 8192 });
    expect(capsOf({ tcpPerGuest: 65536, tcpMax: 100 })).toMatchObject({ tcpMax: 100 });
  });

  test('echo of both families counts together', () => {
    const caps = new FlowCaps({ echoPerGuest: 2 });
    expect([caps.take(Icmp, guest(1)), caps.take(Icmp6, guest(1)), caps.take(Icmp, guest(1))]).toEqual([
      true,
      true,
      false,
    ]);
  });

  test('the table of guests is bounded, and a guest without flows is not in it', () => {
    const caps = new FlowCaps({ guestsMax: 3 });
    for (let n = 1; n <= 3; n++) expect(caps.take(Udp, guest(n))).toBe(true);
    expect(caps.take(Udp, guest(4))).toBe(false);
    expect(caps.take(Tcp, guest(3))).toBe(true);
    caps.give(Udp, guest(2));
    expect(caps.guests).toBe(2);
    expect(caps.take(Udp, guest(4))).toBe(true);
  });

  test('who had none gives nothing back', () => {
    const caps = new FlowCaps();
    caps.give(Tcp, guest(1));
    caps.take(Tcp, guest(1));
    caps.give(Udp, guest(1));
    expect([caps.total(Tcp), caps.total(Udp), caps.guests]).toEqual([1, 0, 1]);
  });

  test('counts as a table of texts would', () => {
    const address = fc.oneof(
      fc.nat(12).map(guest),
      fc.nat(12).map((n) => parseAddress(`fd00::${n.toString(16)}`)!),
    );
    const act = fc.tuple(fc.boolean(), fc.constantFrom(Tcp, Udp, Icmp6), address);
    fc.assert(
      fc.property(fc.array(act, { maxLength: 300 }), (acts) => {
        const caps = new FlowCaps(BOUNDS);
        const model = new Model();
        for (const [isTake, protocol, who] of acts) {
          if (isTake) expect(caps.take(protocol, who)).toBe(model.take(protocol, who));
          else {
            caps.give(protocol, who);
            model.give(protocol, who);
          }
          expect(caps.guests).toBe(model.guests().size);
          expect(caps.total(protocol)).toBe(model.total(protocol));
        }
      }),
    );
  });
});

const BOUNDS = { guestsMax: 8, tcpPerGuest: 3, udpPerGuest: 2, tcpMax: 7 };

class Model {
  private readonly counts = new Map<string, number>();

  guests(): Set<string> {
    return new Set([...this.counts].filter(([, n]) => n > 0).map(([key]) => key.split('|')[1]!));
  }

  total(protocol: number): number {
    return [...this.counts].reduce((n, [key, m]) => n + (key.startsWith(`${protocol}|`) ? m : 0), 0);
  }

  take(protocol: number, who: Address): boolean {
    const had = this.counts.get(`${protocol}|${who.join()}`) ?? 0;
    const most = protocol === Tcp ? BOUNDS.tcpPerGuest : protocol === Udp ? BOUNDS.udpPerGuest : CAPS.echoPerGuest;
    if (had >= most || (protocol === Tcp && this.total(Tcp) >= BOUNDS.tcpMax)) return false;
    const guests = this.guests();
    if (!guests.has(who.join()) && guests.size >= BOUNDS.guestsMax) return false;
    this.counts.set(`${protocol}|${who.join()}`, had + 1);
    return true;
  }

  give(protocol: number, who: Address): void {
    const key = `${protocol}|${who.join()}`;
    this.counts.set(key, Math.max(0, (this.counts.get(key) ?? 0) - 1));
  }
}
