// The kernel asks a host on weft's own stack what hosts are asked: echoes, traces, neighbours, datagrams.

import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { needPrograms } from '../kit/run-kit.ts';
import { FAMILIES, StackNet } from '../kit/stack-net.ts';
import { PATIENT } from '../kit/weft-kit.ts';

let net: StackNet;
beforeAll(async () => {
  net = new StackNet();
  await net.up();
  await net.stack('--echo');
}, PATIENT.timeout);
afterAll(() => net.close(), PATIENT.timeout);

describe.each(FAMILIES)('by $family', PATIENT, ({ stack, v6 }) => {
  test('ping is answered, whole and in fragments', async (ctx) => {
    needPrograms(ctx, 'ping');
    const sizes = [0, 56, 1472, 1473, 4000, 65000];
    const said = await net.kernel(sizes.map((bytes) => `ping -c2 -w9 -s${bytes} -i0.05 ${stack}`).join(' && '));
    expect(said.match(/ 2 received/g), said).toHaveLength(sizes.length);
  });

  test('a flood of pings is answered', async (ctx) => {
    needPrograms(ctx, 'ping');
    const said = await net.kernel(`ping -q -f -i0.002 -c800 ${stack} && ping -q -f -i0.002 -c200 -s3000 ${stack}`);
    // ping waits two round trips for the last answer: on a busy machine that is too short.
    const [small = 0, large = 0] = [...said.matchAll(/ (\d+) received/g)].map(([, count]) => Number(count));
    expect(small).toBeGreaterThanOrEqual(798);
    expect(large).toBeGreaterThanOrEqual(198);
  });

  test.each(['', '-I', '-U -p 53', '-T -p 7'])('traceroute %s finds it one hop away', async (kind) => {
    const said = await net.kernel(`traceroute ${kind} -n -q2 -m4 -w2 ${stack}`);
    const hops = said.trim().split('\n').slice(1);
    expect(hops, said).toHaveLength(1);
    expect(hops[0]).toMatch(new RegExp(`^ 1  ${stack}  [\\d.]+ ms  [\\d.]+ ms`));
  });

  test('the echo service returns datagrams, whole and in fragments', async (ctx) => {
    needPrograms(ctx, 'nc');
    const bytes = randomBytes(9000);
    writeFileSync(net.home.file(`datagram${v6}`), bytes, { mode: 0o644 });
    const said = await net.kernel(
      `echo small | nc -u -W1 -w5 ${stack} 7; nc -u -W1 -w5 ${stack} 7 < datagram${v6} | sha256sum`,
    );
    const sha = createHash('sha256').update(bytes).digest('hex');
    expect(said).toBe(`small\n${sha}  -\n`);
  });

  test('is a reachable neighbour, gets stale, and answers the probe of its reachability', async (ctx) => {
    needPrograms(ctx, 'ip', 'ping');
    const family = v6 === '' ? 'ipv4' : 'ipv6';
    const show = `ip neigh show ${stack} dev eth0`;
    const waitFor = (state: string): string =>
      `i=0; until ${show} | grep -q ${state}; do i=$((i+1)); [ $i -lt 600 ] || exit 1; sleep 0.1; done; echo is ${state};`;
    const said = await net.kernel(
      [
        `sysctl -qw net.${family}.neigh.eth0.base_reachable_time_ms=4000 net.${family}.neigh.eth0.delay_first_probe_time=1`,
        // The kernel draws 2 to 6 s: less than the delay before a probe and its own IPv6 probes would keep it from getting stale.
        `ip neigh flush dev eth0; ping -q -c1 ${stack} > /dev/null; ${waitFor('REACHABLE')} ${waitFor('STALE')}`,
        // Of its own accord, by traffic that confirms nothing: a datagram to discard.
        `echo x | nc -u -q0 -w1 ${stack} 9; ${waitFor('DELAY')} ${waitFor('REACHABLE')}`,
        `mac=$(${show} | sed 's/.*lladdr \\([^ ]*\\).*/\\1/'); ip neigh replace ${stack} lladdr $mac dev eth0 nud probe`,
        waitFor('REACHABLE'),
        `${show} | grep -c "lladdr $mac"`,
      ].join('\n'),
    );
    expect(said).toBe('is REACHABLE\nis STALE\nis DELAY\nis REACHABLE\nis REACHABLE\n1\n');
  });
});
