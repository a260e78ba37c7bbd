// The default network's gateway from end to end: an ordinary user's engine and programs, servers in a world of the test's own.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isRoot, needPrograms, needRoot } from '../kit/run-kit.ts';
import { Home, PATIENT, weft } from '../kit/weft-kit.ts';
import { FAR4, FAR6, HOST4, WORLD4, WORLD6, World } from '../kit/world-kit.ts';

describe('weft up, weft run', PATIENT, () => {
  let world: World;
  let home: Home;

  beforeAll(async () => {
    if (!isRoot) return;
    world = await World.make();
    home = new Home({ inside: world.inHost });
    await world.web(80, 'hello from the world');
    await world.names(`world.test,${FAR4},${FAR6}`, `four.test,${WORLD4}`);
    const { status, stderr } = await home.exec(weft('up', '--daemon'));
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  }, 60_000);

  afterAll(async () => {
    await home?.exec(weft('down'));
    await home?.close();
    await world?.close();
  }, 30_000);

  /** What a program in the network says. */
  const run = async (line: string): Promise<string> => {
    const { status, stdout, stderr } = await home.exec(weft('run', '--', 'sh', '-c', line));
    expect({ status, stderr }, stdout).toEqual({ status: 0, stderr: expect.any(String) });
    return stdout;
  };

  test('gives a program its addresses, routes and name server', async (ctx) => {
    needRoot(ctx);
    const said = await run(
      'ip -4 address show eth0; ip -6 address show eth0; ip route; ip -6 route; cat /etc/resolv.conf',
    );
    expect(said).toMatch(/inet 10\.0\.2\.15\/24/);
    expect(said).toMatch(/inet6 fd00::[0-9a-f:]+\/64/);
    expect(said).toMatch(/^default via 10\.0\.2\.2 /m);
    expect(said).toMatch(/^default via fd00::2 /m);
    expect(said).toMatch(/nameserver 10\.0\.2\.3\nnameserver fd00::3\nsearch weft\.internal\n/);
  });

  test.each([
    ['by IPv4 address', `curl -sS -m 20 http://${WORLD4}/`],
    ['by IPv6 address', `curl -sS -m 20 -g 'http://[${WORLD6}]/'`],
    ['behind a router of the host', `curl -sS -m 20 http://${FAR4}/`],
    ['by name, IPv4', 'curl -4 -sS -m 20 http://world.test/'],
    ['by name, IPv6', 'curl -6 -sS -m 20 http://world.test/'],
  ])('curl reaches a web server %s', async (_how, line) => {
    expect(await run(line)).toBe('hello from the world');
  });

  test('ping and ping -6 are answered', async () => {
    expect(await run(`ping -c 2 -i 0.2 -W 10 ${WORLD4}`)).toMatch(/ 0% packet loss/);
    expect(await run(`ping -6 -c 2 -i 0.2 -W 10 ${WORLD6}`)).toMatch(/ 0% packet loss/);
  });

  test.each(['', '+tcp'])('dig asks the forwarder, and through the gateway: %s', async (how) => {
    expect(await run(`dig +short ${how} four.test`)).toBe(`${WORLD4}\n`);
    expect(await run(`dig +short ${how} world.test AAAA @${WORLD4}`)).toBe(`${FAR6}\n`);
  });

  test('a closed port is refused at once, and so is what a rule forbids', async () => {
    const said = await run(
      `curl -sS -m 20 http://${WORLD4}:81/ 2>&1 || true; curl -sS -m 20 http://${HOST4}:80/ 2>&1 || true`,
    );
    expect(said.match(/refused|Failed to connect|Couldn't connect/g)?.length).toBeGreaterThanOrEqual(2);
  });

  test('weft leases, flows and status say what is there', async () => {
    const hold = `exec 3<>/dev/tcp/${WORLD4}/80; echo inside; sleep 60`;
    const program = home.start(weft('run', '--name', 'holder', '--', 'bash', '-c', hold));
    await program.said(/inside/);
    const leases = JSON.parse((await home.exec(weft('leases', '--json'))).stdout) as { name: string; state: string }[];
    expect(leases).toContainEqual(expect.objectContaining({ name: 'holder', state: 'program' }));
    const flows = JSON.parse((await home.exec(weft('flows', '--json'))).stdout) as {
      protocol: string;
      target: string;
    }[];
    expect(flows).toContainEqual(expect.objectContaining({ protocol: 'tcp', target: `${WORLD4}:80` }));
    const { stdout } = await home.exec(weft('status'));
    expect(stdout).toMatch(/^gateway on port 0: 10\.0\.2\.2\/24 fd00::2\/64; .*names from 198\.51\.100\.2/m);
    await home.kill(program);
  });

  test('a forward leads from the host to a program, as long as it stands', async () => {
    const serve =
      'require("http").createServer((q, a) => a.end("from inside")).listen(8000, () => console.log("inside"))';
    const program = home.start(weft('run', '--name', 'server', '--', process.execPath, '-e', serve));
    await program.said(/inside/);
    const leases = JSON.parse((await home.exec(weft('leases', '--json'))).stdout) as {
      name: string;
      address: string;
    }[];
    const { address } = leases.find((lease) => lease.name === 'server' && lease.address.includes('.'))!;
    const added = await home.exec(weft('forward', 'add', '--json', `0:${address}:8000`));
    expect(added.stderr).toBe('');
    const { id, forward } = JSON.parse(added.stdout) as { id: number; forward: string };
    const port = /^tcp:(?:127\.0\.0\.1:)?(\d+):/.exec(forward)?.[1];
    expect(await home.sh(`curl -sS -m 20 http://127.0.0.1:${port}/`)).toBe('from inside');
    await home.exec(weft('forward', 'rm', String(id)));
    await expect(home.sh(`curl -sS -m 20 http://127.0.0.1:${port}/`)).rejects.toThrow();
    await home.kill(program);
  });

  test('a gateway that is started again gives everybody the address that he had', async () => {
    const line = 'while :; do ip -4 -o address show eth0; sleep 0.2; done';
    const program = home.start(weft('run', '--name', 'stayer', '--', 'sh', '-c', line));
    await program.said(/inet 10/);
    const before = await home.exec(weft('leases', '--json'));
    await home.exec(weft('down'));
    await home.exec(weft('up', '--daemon'));
    const mine = (text: string) =>
      (JSON.parse(text) as { name: string; address: string }[])
        .filter((l) => l.name === 'stayer')
        .map((l) => l.address);
    await expect
      .poll(async () => mine((await home.exec(weft('leases', '--json'))).stdout), { timeout: 20_000 })
      .toEqual(mine(before.stdout));
    await home.kill(program);
  });
});

test('needs what it needs', (ctx) => needPrograms(ctx, 'curl', 'dig', 'dnsmasq', 'ping'));
