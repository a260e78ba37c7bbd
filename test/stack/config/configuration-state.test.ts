import { expect, test } from 'vitest';
import { Burst } from '../../../core/burst.ts';
import { Stack, StackPort } from '../../../stack/stack.ts';
import { printFrame } from '../../../wire/print.ts';
import { secretOf } from '../../kit/stack-kit.ts';
import { Dhcp4Server, Dhcp6Server, DnsServer, ETH, ip, Lab, S } from '../kit-servers.ts';

/** A stack like the lab's client, with its state. */
function twin(lab: Lab, snapshot: Uint8Array): { stack: Stack; port: StackPort } {
  const stack = new Stack({ slab: lab.a.shared.slab, secret: secretOf(1, 1), nowUs: lab.pair.nowUs });
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
  const iface = stack.addInterface({ name: 'eth0', mac, mtuBytes: 1500, dadTransmits: 1 });
  stack.load(snapshot, lab.pair.nowUs);
  return { stack, port: new StackPort(stack, iface) };
}

/** All that a stack does alone for `us`, with the frames that it hears given: `TIME FRAME`. */
function alone(stack: Stack, port: StackPort, fromUs: number, us: number): string[] {
  const log: string[] = [];
  const burst = new Burst(64);
  let nowUs = fromUs;
  const fetch = (): void => {
    for (let more = true; more; ) {
      burst.count = 0;
      more = port.receive(burst, nowUs);
      for (let i = 0; i < burst.count; i++) {
        const { view } = stack.shared;
        log.push(`${nowUs} ${printFrame(view, burst.at[i]!, burst.length[i]!)}`);
      }
      more = more && burst.count > 0;
    }
  };
  fetch();
  for (let steps = 0; steps < 2000; steps++) {
    nowUs = Math.max(nowUs, port.deadlineUs());
    if (nowUs > fromUs + us) break;
    port.expire(nowUs);
    fetch();
  }
  return log;
}

/** A client in the middle of everything: `us` after its start. */
function busy(us: number): Lab {
  const lab = new Lab({ dadTransmits: 1 });
  new Dhcp4Server(lab);
  new Dhcp6Server(lab);
  new DnsServer(lab);
  lab.advertise({ isManaged: true, servers: [ip('fd00::1')], domains: ['ra'] });
  lab.apply('auto,temp,fqdn=a.lab,ip=10.0.0.77/24,gw=10.0.0.1,dns=10.0.0.9,domain=mine');
  lab.run(us);
  return lab;
}

// The moments: nothing yet, discovering, probing an address, soliciting, leased, renewing.
test.each([0, 50_000, 500_000, 1_200_000, 2 * S, 3 * S, 5 * S, 10 * S, 1801 * S])(
  'a stack that is saved after %i µs goes on the same in another place',
  (us) => {
    const lab = busy(us);
    // A question to a server that is silent, and one to the link.
    lab.a.configuration.resolver.lookup('web.lab');
    lab.a.configuration.resolver.lookup('nobody.local');
    lab.run(0); // frames that wait for their port are not in a snapshot
    const snapshot = lab.a.save();
    const { stack, port } = twin(lab, snapshot);
    expect([...stack.save()]).toEqual([...snapshot]);
    expect(stack.configuration.describe()).toBe(lab.a.configuration.describe());
    expect(stack.configuration.resolver.config).toEqual(lab.a.configuration.resolver.config);
    expect(stack.configuration.hearsDhcp).toBe(lab.a.configuration.hearsDhcp);
    const original = new StackPort(lab.a, lab.a.interfaces.get(ETH)!);
    const after = alone(lab.a, original, lab.pair.nowUs, 4000 * S);
    expect(alone(stack, port, lab.pair.nowUs, 4000 * S)).toEqual(after);
    expect(after.length).toBeGreaterThan(10);
    expect(stack.configuration.news()).toEqual(lab.a.configuration.news());
    expect([...stack.save()]).toEqual([...lab.a.save()]);
  },
);

test('damaged snapshots are refused or lived with', { timeout: 30_000 }, () => {
  const lab = busy(8 * S);
  const snapshot = lab.a.save();
  for (let i = 0; i < 60; i++) {
    const damaged = snapshot.slice();
    damaged[(i * 7919) % damaged.length]! ^= 1 << (i % 8);
    try {
      const { stack, port } = twin(lab, damaged);
      port.expire(lab.pair.nowUs);
      stack.configuration.describe();
    } catch (error) {
      expect((error as Error).name).toMatch(/StateError|Bug/);
    }
  }
});
