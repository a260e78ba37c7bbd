// Two hosts and many lossy transfers between them, both ways and over both families: the scenario of the snapshot tests.

import { Trace } from '../../sim/sim.ts';
import { BulkReceiver, BulkSender } from './bulk.ts';
import { Scenario, type ScenarioHost } from './scenario-kit.ts';

/** What the scenario is like. */
export interface BulkPairOptions {
  readonly seed: number;
  readonly connections: number;
  /** Of each connection. */
  readonly bytes: number;
  readonly bufferBytes?: number;
  readonly checks?: boolean;
  /** Keeps every event in words, to find where two runs part. */
  readonly trace?: Trace;
}

const LINK = {
  rateBps: 50_000_000,
  delayUs: 8_000,
  queueBytesMax: 200_000,
  loss: 0.03,
  duplicate: 0.02,
  corrupt: 0.002,
  reorder: { probability: 0.05, delayUs: 3_000 },
  jitterUs: 500,
};

/** A run of it, event by event. */
export class BulkPair {
  readonly scenario: Scenario;
  readonly hosts: readonly [ScenarioHost, ScenarioHost];
  readonly trace: Trace;
  events = 0;
  private readonly senders: BulkSender[] = [];
  private readonly receivers: BulkReceiver[];

  constructor({ seed, connections, bytes, bufferBytes = 16_384, checks = true, trace = new Trace() }: BulkPairOptions) {
    this.scenario = new Scenario({ seed, slabBytes: 1 << 26, checks });
    this.trace = trace;
    this.scenario.world.observe(trace);
    const made = [1, 2].map((number) =>
      this.scenario.host(`h${number}`, {
        number,
        dadTransmits: 1,
        interfaces: [{ addresses: [`10.0.0.${number}/24`, `fd00::${number}/64`] }],
      }),
    );
    this.hosts = [made[0]!.host, made[1]!.host];
    this.scenario.world.link(made[0]!.node, made[1]!.node, LINK);
    this.receivers = this.hosts.map((host) => {
      const receiver = new BulkReceiver(80, { bufferBytes });
      host.programs.push(receiver);
      return receiver;
    });
    for (let flow = 0; flow < connections; flow++) {
      const from = flow % 3 === 0 ? 1 : 0;
      const target = flow % 2 === 0 ? `10.0.0.${2 - from}` : `fd00::${2 - from}`;
      const sender = new BulkSender(flow, target, 80, { bytes, bufferBytes, startUs: 10_000_000 + 2_000 * flow });
      this.senders.push(sender);
      this.hosts[from]!.programs.push(sender);
    }
    // Programs act when something happens; this is what happens when a connection is to begin.
    for (let flow = 0; flow < connections; flow++) this.scenario.world.at(10_000_000 + 2_000 * flow, () => {});
  }

  get isDone(): boolean {
    return this.senders.every((sender) => sender.isDone);
  }

  /** One event; false at the end: all is sent, received and closed. */
  step(): boolean {
    if (this.isDone || !this.scenario.world.step()) return false;
    this.events++;
    return true;
  }

  /** Goes on to the end. What was wrong is thrown. */
  finish(): string {
    while (this.step()) if (this.scenario.world.nowUs > 3_600_000_000) throw new Error('it takes more than an hour');
    const errors = this.receivers.flatMap((receiver) => receiver.errors);
    const failed = this.senders
      .filter((sender) => sender.errno !== 0)
      .map(({ flow, errno }) => `flow ${flow}: ${errno}`);
    const problems = [...this.scenario.violations(), ...errors, ...failed];
    if (problems.length > 0) throw new Error(problems.join('; '));
    return this.trace.hash;
  }

  /** Goes on with stacks made from snapshots: of host `which`, on a clock that is `offsetUs` ahead of the world's. */
  restore(which: 0 | 1, offsetUs?: number): Uint8Array {
    const host = this.hosts[which];
    const snapshot = host.stack.save();
    host.restore(snapshot, this.scenario.world.nowUs, offsetUs);
    return snapshot;
  }
}
