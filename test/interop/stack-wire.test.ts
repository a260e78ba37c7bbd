// What the kernel thinks of our packets, what our sockets hear of the kernel's errors, and a wire that loses frames.

import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { StackHost } from '../../engine/stack-host.io.ts';
import { SocketOption, type TcpStream } from '../../stack/stack.ts';
import { needPrograms, type Running } from '../kit/run-kit.ts';
import { FAMILIES, STACK_LINE, StackNet } from '../kit/stack-net.ts';
import { PATIENT } from '../kit/weft-kit.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('with a host in this process', PATIENT, () => {
  let net: StackNet;
  let host: StackHost;
  beforeAll(async () => {
    net = new StackNet();
    await net.up();
    // Its own checksums, all of them: with offloads the kernel would take them on trust.
    host = await net.host({ takesOffload: false, line: `${STACK_LINE},gw=10.0.0.1,gw=fd00::1` });
  }, PATIENT.timeout);
  afterAll(() => net.close(), PATIENT.timeout);

  describe.each(FAMILIES)('by $family', ({ kernel: target, stack: address, v6 }) => {
    test('no packet of ours has a wrong checksum', async (ctx) => {
      needPrograms(ctx, 'tcpdump', 'nc', 'nstat');
      const kernel = await net.kernelServes(
        [
          `timeout 30 tcpdump -i eth0 -vvn -c 400 src ${address} > seen${v6} 2> tcpdump${v6} & until grep -q listening tcpdump${v6}; do sleep 0.05; done`,
          `timeout 30 nc -l ${target} 7000 > got${v6} & timeout 30 nc -u -l ${target} 7001 > datagrams${v6} & sleep 0.2; echo ready; read line; kill %1 %3; wait; nstat -az; exit 0`,
        ].join('\n'),
        /ready/,
      );
      const { streams } = host.stack;
      const bytes = randomBytes(3_000_000);
      host.tick();
      for (const size of [0, 1, 57, 1471, 8000]) expect((await streams.ping(target, { bytes: size })).bytes).toBe(size);
      const socket = streams.udp({ peer: { host: target, port: 7001 } });
      for (const size of [1, 2, 999, 5001]) await socket.send(bytes.subarray(0, size));
      await send(await streams.connect({ host: target, port: 7000 }), bytes);
      kernel.child.stdin!.end('\n');
      const { stdout } = await kernel.ended;
      socket.close();
      expect(
        await net.home.sh(
          `sha256sum < got${v6}; stat -c %s datagrams${v6}; grep -ci 'bad.*cksum\\|cksum.*incorrect' seen${v6} || :; grep -c cksum.*correct seen${v6}`,
        ),
      ).toMatch(new RegExp(`^${sha256(bytes)}  -\n6003\n0\n[1-9]\\d+\n$`));
      const errors = stdout
        .split('\n')
        .filter((line) => /(Csum|InHdr|TcpIn|Icmp6?In|UdpIn|Udp6In|ReasmFail)\w*(Err|Fail)/.test(line));
      expect(errors.length).toBeGreaterThan(8);
      for (const line of errors) expect(line).toMatch(/ 0 +0\.0$/);
    });

    test('its answer "port unreachable" refuses a datagram', async () => {
      const kernel = await net.kernelServes('echo up; exec cat', /up/);
      const socket = host.stack.streams.udp({ peer: { host: target, port: 4 } });
      host.tick();
      await socket.send(Uint8Array.of(1));
      await expect(socket.receive({ timeoutUs: 5_000_000 })).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      socket.close();
      await net.home.kill(kernel);
    });

    test('its reset refuses a connection', async () => {
      const kernel = await net.kernelServes('echo up; exec cat', /up/);
      host.tick();
      const connecting = host.stack.streams.connect({ host: target, port: 4 });
      await expect(connecting).rejects.toMatchObject({ code: 'ECONNREFUSED', address: target, port: 4 });
      await net.home.kill(kernel);
    });

    test('its "unreachable" as a router is told to who asked for errors', async () => {
      const far = v6 === '' ? '10.9.0.1' : 'fd99::1';
      const code = v6 === '' ? 'EHOSTUNREACH' : 'ENETUNREACH'; // ICMPv6 has the kernel's route as "no route"
      const option = v6 === '' ? SocketOption.ReceiveErrors : SocketOption.ReceiveErrors6;
      const setUp = `sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; ip -${v6 || 4} route add unreachable ${far}`;
      const kernel = await net.kernelServes(`${setUp}; echo up; exec cat`, /up/);
      host.tick();
      const socket = host.stack.streams.udp({ peer: { host: far, port: 80 } });
      host.stack.sockets.setOption(socket.number, option, 1);
      await socket.send(Uint8Array.of(1));
      await expect(socket.receive({ timeoutUs: 10_000_000 })).rejects.toMatchObject({ code });
      socket.close();
      await net.home.kill(kernel);
    });
  });
});

describe('over a wire that loses one frame in 50 and takes 20 ms', PATIENT, () => {
  let net: StackNet;
  let far: string;
  let process: Running;
  beforeEach(async () => {
    net = new StackNet();
    await net.up();
    far = await net.home.switch('far');
  });
  afterEach(() => net.close(), PATIENT.timeout);

  test('bytes arrive as they were sent, both ways and by both families', async (ctx) => {
    needPrograms(ctx, 'nc');
    const wire = await net.wire([net.directory, far], { delayMs: 20, oneIn: 50, seed: 4 });
    process = await net.stackIn(far, '--echo');
    const bytes = randomBytes(500_000);
    writeFileSync(net.home.file('body'), bytes, { mode: 0o644 });
    for (const { stack } of FAMILIES) {
      expect(await net.kernel(`nc -N ${stack} 7 < body | sha256sum`)).toBe(`${sha256(bytes)}  -\n`);
    }
    expect(wire.lost).toBeGreaterThan(10);
    expect(process.child.exitCode).toBeNull();
  });
});

/** Sends all and waits until the peer has ended too. */
async function send(stream: TcpStream, bytes: Uint8Array): Promise<void> {
  await stream.write(bytes);
  await stream.end();
  while (await stream.read());
}
