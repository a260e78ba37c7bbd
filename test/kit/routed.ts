// A network of ten nodes: four pairs of hosts around two routers, both families, with loss, jitter and queues on the way.

import { Capture, type Link, type LinkOptions, Trace } from '../../sim/sim.ts';
import { Family, parseAddress, RouteOrigin, SocketType, type Stack } from '../../stack/stack.ts';
import { BulkReceiver, BulkSender, type SenderOptions } from './bulk.ts';
import { Scenario, type ScenarioHost } from './scenario-kit.ts';
import { addGateway } from './stack-kit.ts';

/** What a dumbbell is made of. Senders are `a1` …, receivers `b1` …, routers `r0` and `r1`. */
export interface DumbbellOptions {
  readonly seed: number;
  readonly pairs: number;
  readonly bottleneck: LinkOptions;
  readonly access?: LinkOptions;
  readonly dadTransmits?: number;
  readonly checks?: boolean;
  readonly slabBytes?: number;
  readonly captures?: boolean;
}

const route = (stack: Stack, prefix: string, bits: number, gateway: string, iface: number): void => {
  const words = { prefix: parseAddress(prefix)!, gateway: parseAddress(gateway)! };
  stack.routes.add({ ...words, bits, iface, metric: 0, origin: RouteOrigin.Static });
};

/** Host k of side s (0 senders, 1 receivers) is 10.s.k.2 and fd00:s:k::2, its router .1; between the routers 10.9.0.0/24. */
export class Dumbbell {
  readonly scenario: Scenario;
  readonly senders: ScenarioHost[] = [];
  readonly receivers: ScenarioHost[] = [];
  readonly bottleneck: Link;
  readonly trace = new Trace();
  readonly captures: Capture[] = [];

  constructor(options: DumbbellOptions) {
    const { seed, pairs, access = {}, dadTransmits = 0, checks = true, slabBytes = 1 << 27 } = options;
    this.scenario = new Scenario({ seed, slabBytes, checks });
    const { world } = this.scenario;
    world.observe(this.trace);
    const routers = [0, 1].map((side) => this.router(side, pairs, dadTransmits));
    for (const side of [0, 1]) {
      for (let k = 1; k <= pairs; k++) {
        const { node, host } = this.scenario.host(`${'ab'[side]}${k}`, {
          number: 100 * (side + 1) + k,
          dadTransmits,
          interfaces: [{ addresses: [`10.${side}.${k}.2/24`, `fd00:${side}:${k}::2/64`] }],
          setUp: (stack) => {
            addGateway(stack, 2, `10.${side}.${k}.1`);
            addGateway(stack, 2, `fd00:${side}:${k}::1`);
          },
        });
        (side === 0 ? this.senders : this.receivers).push(host);
        world.link(node, { node: routers[side]!, port: k }, access);
      }
    }
    this.bottleneck = world.link(routers[0]!, routers[1]!, options.bottleneck);
    if (options.captures) for (const link of world.links) this.captures.push(new Capture(world, link));
  }

  /** The address of receiver k, from 1. */
  static target(k: number, isIp6: boolean): string {
    return isIp6 ? `fd00:1:${k}::2` : `10.1.${k}.2`;
  }

  /** A flow from sender k to receiver k, from 1. */
  flow(flow: number, k: number, isIp6: boolean, options: SenderOptions): BulkSender {
    const sender = new BulkSender(flow, Dumbbell.target(k, isIp6), 80, options);
    this.senders[k - 1]!.programs.push(sender);
    this.scenario.world.at(options.startUs ?? 0, () => {});
    if (options.pace) this.wakeForWrites(options);
    return sender;
  }

  /** A receiver on every host of that side. */
  receive(options: SenderOptions | object = {}): BulkReceiver[] {
    return this.receivers.map((host) => {
      const receiver = new BulkReceiver(80, options);
      host.programs.push(receiver);
      return receiver;
    });
  }

  private wakeForWrites({ startUs = 0, pace, bytes }: SenderOptions): void {
    const { world } = this.scenario;
    let left = Math.ceil(bytes / pace!.writeBytes);
    const next = (): void => {
      if (--left > 0) world.at(world.nowUs + pace!.everyUs, next);
    };
    world.at(startUs, next);
  }

  private router(side: number, pairs: number, dadTransmits: number) {
    const access = Array.from({ length: pairs }, (_, i) => i + 1).map((k) => ({
      forwards: true,
      addresses: [`10.${side}.${k}.1/24`, `fd00:${side}:${k}::1/64`],
    }));
    const between = { forwards: true, addresses: [`10.9.0.${side + 1}/24`, `fd00:9::${side + 1}/64`] };
    const other = 1 - side;
    const setUp = (stack: Stack): void => {
      route(stack, `10.${other}.0.0`, 16, `10.9.0.${other + 1}`, 2);
      route(stack, `fd00:${other}::`, 32, `fd00:9::${other + 1}`, 2);
    };
    return this.scenario.host(`r${side}`, { number: side + 1, dadTransmits, interfaces: [between, ...access], setUp })
      .node;
  }
}

/** Datagrams, one of them in fragments, that nobody waits for: the answers are errors of ICMP. */
function sendUnwanted({ sockets }: Stack, isIp6: boolean): void {
  const h = sockets.socket(isIp6 ? Family.Inet6 : Family.Inet, SocketType.Datagram);
  const target = parseAddress(Dumbbell.target(1, isIp6))!;
  for (const bytes of [0, 1, 1000, 4001]) sockets.sendTo(h, new Uint8Array(bytes).fill(bytes), 0, bytes, target, 9);
}

/** Ten nodes, eight flows that begin, end and overlap. Its trace, and its captures if they are wanted. */
export function tenNodes(seed: number, captures = false): Dumbbell {
  const net = new Dumbbell({
    seed,
    pairs: 4,
    captures,
    dadTransmits: 1,
    access: { rateBps: 100_000_000, delayUs: 200, jitterUs: 100, queueBytesMax: 100_000 },
    bottleneck: {
      rateBps: 20_000_000,
      delayUs: 5_000,
      queueBytesMax: 60_000,
      overheadBytes: 24,
      jitterUs: 300,
      loss: 0.01,
      duplicate: 0.002,
      reorder: { probability: 0.01, delayUs: 2_000 },
    },
  });
  const receivers = net.receive();
  const senders = Array.from({ length: 8 }, (_, flow) => {
    const startUs = 10_000_000 + 50_000 * flow;
    return net.flow(flow, 1 + (flow % 4), flow >= 4, { bytes: 30_000 + 5_000 * flow, startUs, congestion: flow % 2 });
  });
  for (const isIp6 of [false, true]) net.scenario.world.at(10e6, () => sendUnwanted(net.senders[0]!.stack, isIp6));
  net.scenario.world.run({ untilUs: 60e6, until: () => senders.every((sender) => sender.isDone) });
  net.scenario.world.run({ untilUs: net.scenario.world.nowUs + 1e6 });
  const failed = senders
    .filter((sender) => !sender.isDone || sender.errno !== 0)
    .map(({ flow, errno }) => `${flow}: ${errno}`);
  const problems = [...net.scenario.violations(), ...receivers.flatMap((receiver) => receiver.errors), ...failed];
  if (problems.length > 0) throw new Error(`seed ${seed}: ${problems.join('; ')}`);
  return net;
}
