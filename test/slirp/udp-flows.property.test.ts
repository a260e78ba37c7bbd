// Random traffic, small tables: every datagram comes to the right place with the right bytes, or is counted.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Verdict } from '../../slirp/slirp.ts';
import { type UdpFiltering, UdpFlows } from '../../slirp/udp-flows.ts';
import { formatAddress } from '../../stack/stack.ts';
import { A, A6, B, GatewayRig, payload } from '../kit/gateway-rig.ts';
import { HOST_4 } from '../kit/sim-datagrams.ts';

const S = 1_000_000;
const GUESTS = [A, B, A6] as const;
const PORTS = [5000, 5001, 5002] as const;
const TARGETS4 = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '203.0.113.66', HOST_4] as const;
const FORBIDDEN = '203.0.113.66';
const TARGETS6 = ['2001:db8::1', '64:ff9b::c000:202', '64:ff9b::c000:203'] as const;

const out = fc.record({
  kind: fc.constant('out' as const),
  guest: fc.nat(GUESTS.length - 1),
  port: fc.nat(PORTS.length - 1),
  target: fc.nat(9),
  targetPort: fc.constantFrom(53, 4000, 4001, 5000, 5001),
  bytes: fc.oneof(fc.nat(40), fc.nat(3000)),
});
const back = fc.record({
  kind: fc.constant('in' as const),
  mapping: fc.nat(7),
  from: fc.nat(9),
  fromPort: fc.constantFrom(53, 4000, 4001),
  bytes: fc.oneof(fc.nat(40), fc.nat(3000)),
});
const wait = fc.record({ kind: fc.constant('wait' as const), seconds: fc.constantFrom(1, 10, 31, 61, 121) });
const step = fc.oneof({ weight: 6, arbitrary: out }, { weight: 4, arbitrary: back }, { weight: 1, arbitrary: wait });

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const where = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

/** Where a target is on the host's side. */
const hostSide = (target: string): string => target.replace('64:ff9b::c000:20', '192.0.2.');

class World {
  readonly rig: GatewayRig<UdpFlows>;
  readonly sockets = new Map<string, number>();
  private guestsSent = 0;
  private injected = 0;
  private got = 0;
  private seed = 0;

  constructor(filtering: UdpFiltering, isTight: boolean) {
    const bounds = isTight ? { mappingsMax: 6, remotesMax: 4, remotesOfOneMax: 3 } : {};
    this.rig = new GatewayRig(
      (parts) => new UdpFlows(parts, { filtering, ...bounds, isHost: (address) => formatAddress(address) === HOST_4 }),
    );
    if (isTight) this.rig.caps.perGuest = 3;
    this.rig.targets.verdicts.set(FORBIDDEN, Verdict.Prohibited);
    this.rig.targets.verdicts.set(HOST_4, Verdict.Prohibited);
    for (const guest of GUESTS)
      for (const port of PORTS) this.sockets.set(where(guest, port), this.rig.udp(guest, port));
  }

  run(step: Step): void {
    const { rig } = this;
    if (step.kind === 'wait') rig.run(step.seconds * S);
    else if (step.kind === 'out') this.send(step);
    else this.answer(step);
    this.check();
  }

  private send(step: Step & { kind: 'out' }): void {
    const { rig } = this;
    const guest = GUESTS[step.guest]!;
    const targets = guest === A6 ? TARGETS6 : TARGETS4;
    const target = targets[step.target % targets.length]!;
    const from = where(guest, PORTS[step.port]!);
    const bytes = payload(step.bytes, ++this.seed);
    rig.errors(this.sockets.get(from)!); // and the pending one
    const before = rig.outside.sent.length;
    const said = rig.send(this.sockets.get(from)!, target, step.targetPort, bytes);
    expect(said).toBe(bytes.length);
    this.guestsSent++;
    rig.run();
    const sent = rig.outside.sent.slice(before);
    expect(sent.length).toBeLessThan(2);
    for (const one of sent) {
      expect(one.to).toBe(where(hostSide(target), step.targetPort));
      expect(one.bytes).toEqual(bytes);
      expect([FORBIDDEN, HOST_4]).not.toContain(target);
      expect(this.ownerOf(one.h)).toBe(from);
    }
    for (const [where, got] of this.collect()) {
      // A hairpin: to whom the port outside belongs, from the sender's own port outside.
      expect([target, got.bytes]).toEqual([HOST_4, bytes]);
      const owner = this.flows.find((flow) => flow.guest === where && flow.host === `0.0.0.0:${step.targetPort}`);
      expect(owner).toBeDefined();
      const sender = this.flows.find((flow) => flow.guest === from && flow.host.startsWith('0.0.0.0'));
      const seen = got.from.replace(/^.*:/, '');
      expect(sender!.host).toBe(`0.0.0.0:${seen}`);
    }
  }

  private answer(step: Step & { kind: 'in' }): void {
    const { rig, flows } = this;
    if (flows.length === 0) return;
    const flow = flows[step.mapping % flows.length]!;
    const isIp6 = flow.host.startsWith('[');
    const targets = isIp6 ? TARGETS6.slice(0, 1) : TARGETS4.slice(0, 3);
    const from = targets[step.from % targets.length]!;
    const port = Number(flow.host.slice(flow.host.lastIndexOf(':') + 1));
    const bytes = payload(step.bytes, ++this.seed);
    const to = isIp6 ? `[2001:db8:100::1]:${port}` : `${HOST_4}:${port}`;
    expect(rig.outside.inject(where(from, step.fromPort), to, bytes)).toBe(true);
    this.injected++;
    rig.run();
    for (const [where, got] of this.collect()) {
      expect(where).toBe(flow.guest);
      expect(got.bytes).toEqual(bytes);
      expect(hostSide(got.from.replace(/[[\]]/g, ''))).toBe(`${from}:${step.fromPort}`);
    }
  }

  private collect() {
    const all = [...this.sockets].flatMap(([where, h]) => this.rig.got(h).map((got) => [where, got] as const));
    this.got += all.length;
    return all;
  }

  private get flows() {
    return [...this.rig.flows.flows()];
  }

  private ownerOf(h: number): string | undefined {
    const isIp6 = this.rig.outside.whereOf(h).startsWith('[');
    const port = this.rig.outside.whereOf(h).split(':').at(-1);
    return this.flows.find((flow) => flow.host.endsWith(`:${port}`) && flow.host.startsWith('[') === isIp6)?.guest;
  }

  private check(): void {
    const { rig } = this;
    const c = rig.counters;
    const told = c.errorsToGuests - c.prohibited; // hairpins to nobody
    const counted = c.lost + c.guestFull + c.hostFull + c.prohibited + c.filtered + c.unnamed + told;
    expect(this.guestsSent + this.injected).toBe(rig.outside.sent.length + this.got + counted);
    const { flows } = this;
    expect(new Set(flows.map(({ host }) => host)).size).toBe(flows.length);
    expect(new Set(flows.map(({ guest, host }) => `${guest} ${host.startsWith('[')}`)).size).toBe(flows.length);
    expect(rig.outside.open).toBe(flows.length);
    expect(rig.caps.total).toBe(flows.length);
  }

  /** When nobody talks, nothing is left. */
  end(): void {
    this.rig.run(121 * S);
    this.check();
    const { table } = this.rig.flows;
    expect([table.mappings, table.remotes, this.rig.outside.open]).toEqual([0, 0, 0]);
    expect(this.rig.flows.deadlineUs()).toBe(Infinity);
  }
}

test.each<[UdpFiltering, boolean]>([
  ['endpoint', false],
  ['address', false],
  ['address-port', false],
  ['address', true],
  ['endpoint', true],
])('filtering %s, tight: %s', (filtering, isTight) => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
      const world = new World(filtering, isTight);
      for (const one of steps) world.run(one);
      world.end();
    }),
    { numRuns: 25 },
  );
});
