// Programs that know nothing of us, as an ordinary user, on the network that `weft up` brings up.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { needPrograms, type Running } from '../kit/run-kit.ts';
import { Home, needTun, PATIENT, weft } from '../kit/weft-kit.ts';

let home: Home;
beforeEach(async () => {
  home = new Home();
  await home.engine('up', '--no-gateway');
});
afterEach(() => home.close());

const SERVER = ['--ip', '10.0.0.2/24', '--ip', 'fd00::2/64'];
const CLIENT = ['--ip', '10.0.0.1/24', '--ip', 'fd00::1/64'];

describe.each([
  { device: 'a veth pair', kind: 'packet', tun: false },
  { device: 'a TAP', kind: 'tap', tun: true },
])('by $device', PATIENT, ({ kind, tun }) => {
  beforeEach((ctx) => {
    if (tun) needTun(ctx);
  });
  const run = (...words: string[]): Running => home.start(weft('run', ...words), { tun });
  const kinds = async (): Promise<string[]> => (await home.inspect()).attached.map((port) => port.kind);

  test('ping reaches the other program by IPv4 and IPv6', async (ctx) => {
    needPrograms(ctx, 'ping');
    await run(...SERVER, '--', 'sh', '-c', 'echo up; exec cat').said(/up/);
    expect(await kinds()).toEqual([kind]);
    const ping = run(...CLIENT, '--', 'sh', '-c', 'ping -c2 -i0.2 10.0.0.2 && ping -c2 -i0.2 fd00::2');
    const { status, stdout } = await ping.ended;
    expect(stdout.match(/2 received/g)).toHaveLength(2);
    expect(status).toBe(0);
  });

  test('curl gets a page from python3 -m http.server by IPv4 and IPv6', async (ctx) => {
    needPrograms(ctx, 'python3', 'curl');
    const serve = ['python3', '-u', '-m', 'http.server', '80', '--bind', '::', '--directory', '/etc'];
    await run(...SERVER, '--', ...serve).said(/Serving HTTP/);
    const get = 'curl -sf http://10.0.0.2/hostname && curl -sf "http://[fd00::2]/hostname"';
    const { status, stdout } = await run(...CLIENT, '--', 'sh', '-c', get).ended;
    const [four, six] = stdout.trim().split('\n');
    expect(four).not.toBe('');
    expect({ status, six }).toEqual({ status: 0, six: four });
  });

  test('iperf3 moves bytes', async (ctx) => {
    needPrograms(ctx, 'iperf3');
    await run(...SERVER, '--', 'iperf3', '-s', '-1', '--forceflush').said(/Server listening/);
    const { status, stdout } = await run(...CLIENT, '--', 'iperf3', '-c', '10.0.0.2', '-t', '1', '-J').ended;
    const { end } = JSON.parse(stdout) as { end: { sum_received: { bytes: number } } };
    expect(end.sum_received.bytes).toBeGreaterThan(0);
    expect(status).toBe(0);
  });
});
