// The table of datagram flows against a model made of maps, by chance.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FlowTable, flowKey, MappingFlag, NO_ROW } from '../../slirp/flow-table.ts';
import { type Address, parseAddress } from '../../stack/stack.ts';

const KEY = flowKey(Int32Array.of(1, 2, 3, 4), 5);
const GUESTS = ['10.0.2.15', '10.0.2.16', 'fd00::15'].map((text) => parseAddress(text)!);
const HOSTS = ['192.0.2.1', '192.0.2.2', '2001:db8::1', '192.0.2.3'].map((text) => parseAddress(text)!);
const MAPPINGS_MAX = 5;
const REMOTES_MAX = 6;
const OF_ONE_MAX = 4;
const CLIENTS_MAX = 6;

interface Remote {
  readonly r: number;
  readonly host: number;
  readonly port: number;
}

interface Mapping {
  readonly m: number;
  readonly guest: number;
  readonly port: number;
  readonly isIp6: boolean;
  readonly isFixed: boolean;
  /** The one that was used longest ago first. */
  remotes: Remote[];
}

const nat = (max: number) => fc.nat(max);
const step = fc.oneof(
  fc.record({
    kind: fc.constant('open' as const),
    guest: nat(2),
    port: nat(1),
    isIp6: fc.boolean(),
    isFixed: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('close' as const), which: nat(9) }),
  fc.record({ kind: fc.constant('add' as const), which: nat(9), host: nat(3), port: nat(2) }),
  fc.record({ kind: fc.constant('add' as const), which: nat(9), host: nat(3), port: nat(2) }),
  fc.record({ kind: fc.constant('touch' as const), which: nat(9), remote: nat(9) }),
  fc.record({ kind: fc.constant('drop' as const), which: nat(9), remote: nat(9) }),
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const options = { mappingsMax: MAPPINGS_MAX, remotesMax: REMOTES_MAX, remotesOfOneMax: OF_ONE_MAX };

class Both {
  readonly table = new FlowTable({ ...options, clientsMax: CLIENTS_MAX, key: KEY });
  readonly mappings: Mapping[] = [];
  private nowUs = 0;

  run(step: Step): void {
    this.nowUs++;
    const { table, mappings, nowUs } = this;
    if (step.kind === 'open') {
      const { guest, port, isIp6, isFixed } = step;
      const m = table.addMapping(GUESTS[guest]!, port, isIp6, 100 + nowUs, nowUs, nowUs);
      expect(m === NO_ROW).toBe(mappings.length === MAPPINGS_MAX);
      if (m === NO_ROW) return;
      if (isFixed) table.mark(m, MappingFlag.Fixed);
      mappings.unshift({ m, guest, port, isIp6, isFixed, remotes: [] });
      return;
    }
    const mapping = mappings[step.which % Math.max(1, mappings.length)];
    if (!mapping) return;
    if (step.kind === 'close') {
      table.removeMapping(mapping.m);
      mappings.splice(mappings.indexOf(mapping), 1);
    } else if (step.kind === 'add') this.add(mapping, step.host, step.port);
    else {
      const remote = mapping.remotes[step.remote % Math.max(1, mapping.remotes.length)];
      if (!remote) return;
      mapping.remotes = mapping.remotes.filter((one) => one !== remote);
      if (step.kind === 'drop') table.removeRemote(remote.r);
      else {
        table.touch(remote.r, nowUs);
        mapping.remotes.push(remote);
      }
    }
  }

  private add(mapping: Mapping, host: number, port: number): void {
    const { table, mappings, nowUs } = this;
    if (mapping.remotes.some((one) => one.host === host && one.port === port)) return;
    const pool = mappings.reduce((n, { remotes }) => n + Math.max(0, remotes.length - 1), 0);
    const most = mapping.isFixed ? CLIENTS_MAX : OF_ONE_MAX;
    const { remotes } = mapping;
    if (remotes.length >= most || (remotes.length > 0 && pool >= REMOTES_MAX)) remotes.shift();
    const r = table.addRemote(mapping.m, nameOf(mapping, host), 1000 + port, HOSTS[host]!, port, nowUs);
    remotes.push({ r, host, port });
  }

  check(): void {
    const { table, mappings } = this;
    expect(table.mappings).toBe(mappings.length);
    expect(table.remotes).toBe(mappings.reduce((n, { remotes }) => n + remotes.length, 0));
    for (const [g, guest] of GUESTS.entries())
      for (const port of [0, 1])
        for (const isIp6 of [false, true]) {
          const found = mappings.find((one) => one.guest === g && one.port === port && one.isIp6 === isIp6);
          expect(table.findMapping(guest, port, isIp6)).toBe(found?.m ?? NO_ROW);
        }
    for (const mapping of mappings) this.checkMapping(mapping);
  }

  private checkMapping(mapping: Mapping): void {
    const { table } = this;
    const { m, guest, port, remotes } = mapping;
    expect([table.oldestOf(m), table.newestOf(m), table.remotesOf(m)]).toEqual([
      remotes[0]?.r ?? NO_ROW,
      remotes.at(-1)?.r ?? NO_ROW,
      remotes.length,
    ]);
    expect([table.isMapping(m), table.portOf(m), table.isOf(m, GUESTS[guest]!)]).toEqual([true, port, true]);
    for (const [h, host] of HOSTS.entries()) {
      const there = remotes.filter((one) => one.host === h);
      expect(there.map(({ r }) => r).concat(there.length === 0 ? [NO_ROW] : [])).toContain(table.findAt(m, host));
      for (const p of [0, 1, 2]) {
        const found = there.find((one) => one.port === p);
        expect(table.findIn(m, host, p)).toBe(found?.r ?? NO_ROW);
        const r = table.findOut(GUESTS[guest]!, port, nameOf(mapping, h), 1000 + p);
        expect(r).toBe(found?.r ?? NO_ROW);
        if (r !== NO_ROW)
          expect([table.mappingOf(r), table.namePortOf(r), table.remotePortOf(r)]).toEqual([m, 1000 + p, p]);
      }
    }
  }
}

/** Names that no other mapping of the guest uses, so that a four-tuple means one remote. */
function nameOf({ m, isIp6 }: Mapping, host: number): Address {
  return Int32Array.of(7, m, isIp6 ? 1 : 0, host);
}

test('finds what a model finds, whatever comes and goes', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 120 }), (steps) => {
      const both = new Both();
      for (const one of steps) {
        both.run(one);
        both.check();
      }
      for (const { m } of [...both.mappings]) both.table.removeMapping(m);
      expect([both.table.mappings, both.table.remotes]).toEqual([0, 0]);
    }),
    { numRuns: 100 },
  );
});
