import { expect, test } from 'vitest';
import { HostPair } from '../../kit/stack-kit.ts';

/** Lets Promises settle between steps, until `promise` has. */
async function settle<T>({ pair }: HostPair, promise: Promise<T>): Promise<T> {
  let isDone = false;
  const mark = (): void => {
    isDone = true;
  };
  promise.then(mark, mark);
  for (let i = 0; i < 1000 && !isDone; i++) {
    pair.step();
    for (let k = 0; k < 5; k++) await Promise.resolve();
  }
  return promise;
}

for (const to of ['10.0.0.2', 'fd00::2']) {
  test(`the answer of ${to} reaches who pinged (RFC 1122 §3.2.2.6, RFC 4443 §4.2)`, async () => {
    const hosts = new HostPair({ link: { delayUs: 1000 } });
    const answer = await settle(hosts, hosts.a.streams.ping(to));
    expect(answer).toEqual({ address: to, rttUs: expect.any(Number), hops: 64, bytes: 56 });
  });
}

test('an answer that comes too late is answered by nothing', async () => {
  const hosts = new HostPair({ link: { delayUs: 1_000_000 } });
  await expect(settle(hosts, hosts.a.streams.ping('10.0.0.2', { timeoutUs: 2_500_000 }))).rejects.toThrow('ETIMEDOUT');
  const { rxPackets } = hosts.b.interfaces.get(2)!;
  hosts.pair.run(10_000_000);
  expect(hosts.a.interfaces.get(2)!.rxPackets).toBeGreaterThan(0);
  expect(hosts.b.interfaces.get(2)!.rxPackets).toBe(rxPackets);
});
