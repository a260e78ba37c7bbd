import { expect, test } from 'vitest';
import { Trace } from '../../sim/sim.ts';
import { ADVERTISEMENT } from '../../stack/autoconf/advertisement.ts';
import { Family, parseAddress, SocketType, type Stack, TcpOption, TcpState } from '../../stack/stack.ts';
import { BulkReceiver, BulkSender } from '../kit/bulk.ts';
import { Scenario, type ScenarioHost } from '../kit/scenario-kit.ts';

// Every scenario runs twice: undisturbed, and with both stacks saved, thrown away and made again after every event. The same
// frames pass at the same times, and the programs see the same. `seen` says that a restore met the state in question.

interface Case {
  readonly name: string;
  readonly untilUs: number;
  readonly link?: object;
  readonly spec?: object;
  readonly setUp: (hosts: readonly ScenarioHost[], at: (us: number, act: (log: string[]) => void) => void) => void;
  /** Counts something in a stack; it must be above 0 at some restore. */
  readonly seen: (host: ScenarioHost, index: number) => boolean;
}

const V6 = parseAddress('::')!;

function run(one: Case, restores: boolean): { hash: string; log: string[]; seen: boolean; events: number } {
  const scenario = new Scenario({ seed: 3, slabBytes: 1 << 25 });
  const trace = new Trace();
  scenario.world.observe(trace);
  const made = [1, 2].map((number) =>
    scenario.host(`h${number}`, {
      number,
      interfaces: [{ addresses: [`10.0.0.${number}/24`, `fd00::${number}/64`] }],
      ...one.spec,
    }),
  );
  const hosts = made.map(({ host }) => host);
  scenario.world.link(made[0]!.node, made[1]!.node, { delayUs: 5_000, ...one.link });
  const log: string[] = [];
  one.setUp(hosts, (us, act) => scenario.world.at(us, () => act(log)));
  let seen = false;
  let events = 0;
  scenario.world.run({ untilUs: 0 });
  while (scenario.world.nextUs() <= one.untilUs && scenario.world.step()) {
    events++;
    for (const [i, host] of hosts.entries()) {
      seen ||= one.seen(host, i);
      if (restores) host.restore(host.stack.save(), scenario.world.nowUs, (events % 7) * 1_000_000);
    }
  }
  expect(scenario.violations()).toEqual([]);
  return { hash: trace.hash, log, seen, events };
}

const statesOf = (stack: Stack): TcpState[] => {
  const states: TcpState[] = [];
  for (let c = 0; c < 64; c++) states.push(stack.tcp.stateOf(c));
  return states;
};

const isIn =
  (state: TcpState) =>
  ({ stack }: ScenarioHost): boolean =>
    statesOf(stack).includes(state);

function udp(stack: Stack, port: number): number {
  const h = stack.sockets.socket(Family.Inet6, SocketType.Datagram);
  expect(stack.sockets.bind(h, V6, port)).toBe(0);
  return h;
}

/** Two flows, one of each family, with `sender` and `receiver` options. */
const flows =
  (senderOptions: object, receiverOptions: object, count = 2): Case['setUp'] =>
  (hosts, at) => {
    const receiver = new BulkReceiver(80, receiverOptions);
    hosts[1]!.programs.push(receiver);
    for (let flow = 0; flow < count; flow++) {
      const to = flow % 2 === 0 ? '10.0.0.2' : 'fd00::2';
      hosts[0]!.programs.push(new BulkSender(flow, to, 80, { bytes: 30_000, startUs: 100_000, ...senderOptions }));
    }
    for (const us of [100_000, 2_000_000, 4_000_000]) at(us, () => {});
    at(20_000_000, (log) => log.push(`${receiver.gotBytes}`, ...receiver.errors));
  };

const ALL = { acceptUs: 0, readUs: 0 };

const CASES: readonly Case[] = [
  {
    name: 'duplicate address detection, router solicitations, MLD reports',
    untilUs: 20e6,
    spec: { dadTransmits: 2 },
    setUp: () => {},
    seen: ({ stack }) => stack.deadlineUs() < Number.POSITIVE_INFINITY,
  },
  {
    name: 'a router that advertises, and a host that takes addresses and routes from it',
    untilUs: 100e6,
    spec: { dadTransmits: 1, interfaces: [{}] },
    setUp: ([a, b], at) => {
      const prefix = { address: parseAddress('2001:db8::')!, bits: 64, validSeconds: 90, preferredSeconds: 60 };
      const prefixes = [{ ...prefix, isOnLink: true, isAutonomous: true }];
      const ad = { ...ADVERTISEMENT, prefixes, lifetimeSeconds: 60, intervalSecondsMax: 20, intervalSecondsMin: 10 };
      at(1_000, (log) => {
        a!.stack.interfaces.get(2)!.forwards6 = true;
        a!.stack.autoconf.start(2);
        log.push(`${a!.stack.autoconf.advertise(2, ad)}`);
        b!.stack.autoconf.start(2);
      });
      at(50e6, (log) =>
        log.push(
          b!.stack.addresses
            .ids()
            .map((id) => `${b!.stack.addresses.addressOf(id)}`)
            .join(' '),
        ),
      );
    },
    seen: ({ stack }, index) => index === 1 && stack.deadlineUs() < Number.POSITIVE_INFINITY,
  },
  {
    name: 'a listener with half-open connections whose SYN-ACKs get lost',
    untilUs: 21e6,
    link: { loss: 0.3 },
    setUp: flows({}, ALL, 6),
    seen: isIn(TcpState.SynReceived),
  },
  {
    name: 'connections that wait to be accepted, with data',
    untilUs: 21e6,
    setUp: flows({}, { acceptUs: 2_000_000 }, 4),
    seen: isIn(TcpState.CloseWait),
  },
  {
    name: 'TIME-WAIT, until it ends',
    untilUs: 90e6,
    setUp: flows({}, ALL),
    seen: ({ stack }) => stack.tcp.timeWaits > 0,
  },
  {
    name: 'a zero window, and its probes',
    untilUs: 21e6,
    setUp: flows({ bufferBytes: 4096 }, { bufferBytes: 4096, readUs: 4_000_000 }),
    seen: ({ stack }) => {
      for (let c = 0; c < 8; c++)
        if (stack.tcp.stateOf(c) === TcpState.Established && stack.tcp.info(c).sendWindowBytes === 0) return true;
      return false;
    },
  },
  {
    name: 'data behind gaps, copies, detours',
    untilUs: 21e6,
    link: { loss: 0.1, duplicate: 0.1, reorder: { probability: 0.2, delayUs: 7_000 }, rateBps: 10_000_000 },
    setUp: flows({ bytes: 40_000 }, ALL, 3),
    seen: isIn(TcpState.Established),
  },
  {
    name: 'keep-alives, corks, and options of a socket',
    untilUs: 30e6,
    setUp: flows(
      {
        options: [
          [TcpOption.KeepAlive, 1],
          [TcpOption.KeepIdleUs, 1_000_000],
          [TcpOption.KeepIntervalUs, 500_000],
          [TcpOption.Cork, 1],
          [TcpOption.UserTimeoutUs, 10_000_000],
          [TcpOption.Ecn, 1],
        ],
        pace: { writeBytes: 700, everyUs: 400_000 },
      },
      { acceptUs: 2_000_000 },
    ),
    seen: isIn(TcpState.Established),
  },
  {
    name: 'datagrams in queues, and fragments of one that is not whole yet',
    untilUs: 40e6,
    link: { loss: 0.2, reorder: { probability: 0.3, delayUs: 400_000 } },
    setUp: ([a, b], at) => {
      let from = -1;
      let to = -1;
      at(1_000, () => {
        from = udp(a!.stack, 5000);
        to = udp(b!.stack, 6000);
      });
      const bytes = Uint8Array.from({ length: 9000 }, (_, i) => i % 251);
      for (let i = 0; i < 12; i++) {
        const target = parseAddress(i % 2 === 0 ? '10.0.0.2' : 'fd00::2')!;
        const size = i % 3 === 0 ? 9000 : 200 + i;
        at(50_000 + 20_000 * i, (log) =>
          log.push(`sent ${a!.stack.sockets.sendTo(from, bytes, 0, size, target, 6000)}`),
        );
      }
      const into = new Uint8Array(10_000);
      for (const us of [200_000, 1_500_000, 39_000_000]) {
        at(us, (log) => {
          const { sockets } = b!.stack;
          for (let n = sockets.receiveFrom(to, into, 0, into.length); n >= 0; ) {
            log.push(`got ${n} from ${sockets.message.port}`);
            n = sockets.receiveFrom(to, into, 0, into.length);
          }
        });
      }
    },
    seen: ({ stack }, index) => index === 1 && stack.deadlineUs() < Number.POSITIVE_INFINITY,
  },
  {
    name: 'neighbours that are looked for, with frames that wait for them',
    untilUs: 20e6,
    link: { loss: 0.5 },
    setUp: ([a], at) => {
      let from = -1;
      at(1_000, () => {
        from = udp(a!.stack, 5000);
      });
      for (const [i, host] of ['10.0.0.2', 'fd00::2', '10.0.0.9', 'fd00::9', '10.0.0.2', 'fd00::2'].entries()) {
        const target = parseAddress(host)!;
        at(100_000 + 10_000 * i, () => {
          for (let n = 0; n < 5; n++) a!.stack.sockets.sendTo(from, new Uint8Array(100), 0, 100, target, 7);
        });
      }
    },
    seen: ({ stack }) => stack.autoconf.neighbors.heldBytes > 0,
  },
];

test.each(CASES)('restored after every event: $name', { timeout: 600_000 }, (one) => {
  const whole = run(one, false);
  expect(whole.seen, 'the state is reached').toBe(true);
  const again = run(one, true);
  expect(again.log).toEqual(whole.log);
  expect(again.events).toBe(whole.events);
  expect(again.hash).toBe(whole.hash);
});
