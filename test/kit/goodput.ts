// Goodput of one bulk transfer between two hosts on a link of 100 ms round trip, infinite rate and independent loss.

import { BulkReceiver, BulkSender, type SenderOptions } from './bulk.ts';
import { Scenario } from './scenario-kit.ts';

/** One measurement. */
export interface GoodputOptions extends Pick<SenderOptions, 'options' | 'congestion'> {
  readonly bufferBytes: number;
  /** Probability that a frame is lost, in each direction. */
  readonly loss: number;
  readonly seed: number;
  readonly bytes: number;
  /** It ends after this time even if not all has arrived. */
  readonly usMax: number;
  readonly isIp6?: boolean;
  readonly delayUs?: number;
  readonly checks?: boolean;
}

/** Bytes per second that the receiver read, from the connection's begin to the last byte or to the end of the time. */
export function goodputOf(options: GoodputOptions): number {
  const { bufferBytes, loss, seed, bytes, usMax, isIp6 = false, delayUs = 50_000, checks = true } = options;
  const scenario = new Scenario({ seed, slabBytes: 1 << 24, checks });
  const ends = [1, 2].map((number) =>
    scenario.host(`h${number}`, { number, interfaces: [{ addresses: [`10.0.0.${number}/24`, `fd00::${number}/64`] }] }),
  );
  const [a, b] = [ends[0]!, ends[1]!];
  scenario.world.link(a.node, b.node, { delayUs, loss });
  const sender = new BulkSender(0, isIp6 ? 'fd00::2' : '10.0.0.2', 80, options);
  const receiver = new BulkReceiver(80, options);
  a.host.programs.push(sender);
  b.host.programs.push(receiver);
  scenario.world.run({ untilUs: usMax, until: () => receiver.gotBytes[0] === bytes || sender.errno !== 0 });
  const problems = [...scenario.violations(), ...receiver.errors];
  if (sender.errno !== 0) problems.push(`the sender failed: ${sender.errno}`);
  if (problems.length > 0) throw new Error(`seed ${seed}, buffer ${bufferBytes}, loss ${loss}: ${problems.join('; ')}`);
  const got = receiver.gotBytes[0] ?? 0;
  const us = got === bytes ? receiver.lastUs[0]! : usMax;
  return (got * 1e6) / us;
}
