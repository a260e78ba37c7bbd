// Connections between the kernel's TCP and weft's own, through the forwards of `weft stack`.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { needPrograms, type Running } from '../kit/run-kit.ts';
import { chosenPort, FAMILIES, StackNet } from '../kit/stack-net.ts';
import { eventually, freePort, PATIENT } from '../kit/weft-kit.ts';

const BODY_BYTES = 8_000_000;
const HTTP = 'exec python3 -u -m http.server';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

let net: StackNet;
let stack: Running;
let body: string;
const ports = { host: 0, iperf: 0 };

beforeAll(async () => {
  net = new StackNet();
  await net.up();
  const bytes = randomBytes(BODY_BYTES);
  body = sha256(bytes);
  writeFileSync(net.home.file('body'), bytes, { mode: 0o644 });
  const server = net.home.start(['python3', '-u', '-m', 'http.server', '0', '--bind', '127.0.0.1']);
  await server.said(/port \d+/);
  ports.host = Number(/port (\d+)/.exec(server.stdout)![1]);
  ports.iperf = await freePort();
  const out = ['-R', `80:127.0.0.1:${ports.host}`, '-R', `5201:127.0.0.1:${ports.iperf}`, '-R', '81:127.0.0.1:1'];
  const into = FAMILIES.flatMap(({ kernelInUrl: to }) =>
    [8000, 5201, 6000].flatMap((port) => ['-L', `0:${to}:${port}`]),
  );
  stack = await net.stack('--echo', ...out, ...into);
}, PATIENT.timeout);
afterAll(() => net.close(), PATIENT.timeout);

describe.each(FAMILIES)('by $family', PATIENT, ({ stack: address, kernel: target, inUrl, v6 }) => {
  const into = (port: number): number => chosenPort(stack, `to ${target} port ${port}`);

  test('curl of the network gets a page of this host', async (ctx) => {
    needPrograms(ctx, 'curl', 'python3');
    expect(await net.kernel(`curl -sS --fail http://${inUrl}/body | sha256sum`)).toBe(`${body}  -\n`);
  });

  test('curl of this host gets a page of the network', async (ctx) => {
    needPrograms(ctx, 'curl', 'python3');
    const server = await net.kernelServes(`${HTTP} 8000 --bind ::`, /Serving HTTP/);
    const said = await net.home.sh(`curl -sS --fail http://127.0.0.1:${into(8000)}/body | sha256sum`);
    expect(said).toBe(`${body}  -\n`);
    await net.home.kill(server);
  });

  test('what the echo service returns is what was sent, to the end of the stream', async (ctx) => {
    needPrograms(ctx, 'nc');
    expect(await net.kernel(`nc -N ${address} 7 < body | sha256sum`)).toBe(`${body}  -\n`);
  });

  test.each(['', '-R'])('iperf3 %s of the network moves bytes to this host', async (direction) => {
    const server = net.home.start(['iperf3', '-s', '-1', '-p', String(ports.iperf), '-B', '127.0.0.1', '--forceflush']);
    await server.said(/Server listening/);
    expect(received(await net.kernel(`iperf3 -c ${address} -t1 -J ${direction}`))).toBeGreaterThan(1_000_000);
    expect((await server.ended).status).toBe(0);
  });

  test.each(['', '-R'])('iperf3 %s of this host moves bytes to the network', async (direction) => {
    const server = await net.kernelServes('exec iperf3 -s -1 --forceflush', /Server listening/);
    const said = await net.home.sh(`iperf3 -c 127.0.0.1 -p ${into(5201)} -t1 -J ${direction}`);
    expect(received(said)).toBeGreaterThan(1_000_000);
    expect((await server.ended).status).toBe(0);
  });

  test('several connections at once do not disturb each other', async (ctx) => {
    needPrograms(ctx, 'curl');
    const many = Array.from({ length: 12 }, (_, i) => `curl -sS --fail http://${inUrl}/body -o got${v6}-${i} &`);
    const said = await net.kernel(`${many.join(' ')} wait; sha256sum got${v6}-* | cut -d' ' -f1 | sort | uniq -c`);
    expect(said.trim()).toBe(`12 ${body}`);
  });

  test('a connection has SACK, timestamps, window scaling and ECN', async (ctx) => {
    needPrograms(ctx, 'ss', 'nc');
    const said = await net.kernel(
      `sysctl -qw net.ipv4.tcp_ecn=1; (echo hello; sleep 2) | nc -N ${address} 7 > said${v6} &
      until grep -q hello said${v6}; do sleep 0.05; done; ss -tinoH dport = :7; wait; cat said${v6}`,
    );
    expect(said).toMatch(/^hello\n/m);
    for (const option of [/\bts\b/, /\bsack\b/, /\becn\b/, /\becnseen\b/, /\bwscale:[1-9]\d*,[1-9]\d*\b/]) {
      expect(said).toMatch(option);
    }
  });

  test('a port that nobody serves is refused', async (ctx) => {
    needPrograms(ctx, 'nc');
    expect(await net.kernel(`nc -zv -w5 ${address} 4 2>&1 || :`)).toContain('Connection refused');
  });

  test('a connection that leads nowhere is reset', async () => {
    const said = await net.kernel(`${PYTHON_CLIENT} ${address} 81`);
    expect(said).toBe('ConnectionResetError\n');
    const kernel = await net.kernelServes('echo up; exec cat', /up/);
    const socket = createConnection(into(6000), '127.0.0.1').on('error', () => {});
    expect(await ending(socket)).toBe('ECONNRESET');
    await net.home.kill(kernel);
  });

  test('a reset goes through, both ways', async () => {
    const script = `import socket, struct, sys
s = socket.create_server(("::", 6000), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
c, _ = s.accept()
c.recv(1)
c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
c.close()
c, _ = s.accept()
c.recv(1)
try:
    c.recv(1)
    print("end")
except OSError as e:
    print(type(e).__name__)
`;
    const server = await net.kernelServes(`exec python3 -c '${script}'`, /ready/);
    const first = createConnection(into(6000), '127.0.0.1').on('error', () => {});
    first.write('x');
    expect(await ending(first)).toBe('ECONNRESET');
    const second = createConnection(into(6000), '127.0.0.1').on('error', () => {});
    second.write('x');
    await once(second, 'connect');
    setTimeout(() => second.resetAndDestroy(), 200);
    expect((await server.ended).stdout).toBe('ready\nConnectionResetError\n');
  });

  test('who reads slowly slows the writer, and nothing is lost', async (ctx) => {
    needPrograms(ctx, 'curl', 'python3');
    const slow = `import hashlib, sys, time
h = hashlib.sha256(); n = 0
while True:
    b = sys.stdin.buffer.read(262144)
    if not b: break
    h.update(b); n += len(b); time.sleep(0.02)
print(h.hexdigest())`;
    expect(await net.kernel(`curl -sS --fail http://${inUrl}/body | python3 -c '${slow}'`)).toBe(`${body}\n`);
  });
});

const PYTHON_CLIENT = `python3 -c '
import socket, sys
try:
    print(socket.create_connection((sys.argv[1], int(sys.argv[2]))).recv(1))
except OSError as e:
    print(type(e).__name__)
'`;

const received = (json: string): number =>
  (JSON.parse(json) as { end: { sum_received: { bytes: number } } }).end.sum_received.bytes;

/** How a connection ends: the code of its error, or `end`. */
async function ending(socket: Socket): Promise<string> {
  let how = 'end';
  socket.on('error', (error: NodeJS.ErrnoException) => {
    how = error.code ?? 'error';
  });
  socket.resume();
  await eventually('the end of a connection', () => socket.closed);
  return how;
}
