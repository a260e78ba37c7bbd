// Gateways that are not the default network's: in a process of their own, as a plug, from a lab file, without system calls.

import { writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { isRoot, needPrograms, needRoot, type Running } from '../kit/run-kit.ts';
import { eventually, Home, PATIENT, weft } from '../kit/weft-kit.ts';
import { WORLD4, WORLD6, World } from '../kit/world-kit.ts';

const WORDS = 'hello from the world';
/** What a guest of `weft run` is told by hand where the network itself leases nothing. */
const BY_HAND = ['--ip', '10.0.2.50/24', '--gw', '10.0.2.2', '--ip', 'fd00::50/64', '--gw', 'fd00::2'];
const CURL4 = `curl -sS -m 20 http://${WORLD4}/`;
const CURL6 = `curl -sS -m 20 -g 'http://[${WORLD6}]/'`;

describe('a gateway', PATIENT, () => {
  let world: World;
  let home: Home;

  beforeAll(async () => {
    if (!isRoot) return;
    world = await World.make();
    await world.web(80, WORDS);
  }, 60_000);
  afterAll(async () => world?.close(), 30_000);

  beforeEach((ctx) => {
    needRoot(ctx);
    needPrograms(ctx, 'curl');
    home = new Home({ inside: world.inHost });
  });
  afterEach(async () => home?.close());

  const inNet = (net: string, options: readonly string[], line: string) =>
    home.exec(weft('run', '--net', net, ...options, '--', 'sh', '-c', line));

  async function bothWays(net: string, options = BY_HAND): Promise<void> {
    const { stdout, stderr } = await inNet(net, options, `${CURL4}; ${CURL6}`);
    expect({ stdout, stderr }).toEqual({ stdout: WORDS + WORDS, stderr: '' });
  }

  test('joins a switch from a process of its own, which commands find by its name', async () => {
    const net = await home.switch('net');
    const gateway = await home.engine(
      'slirp',
      '--name',
      'out',
      '-L',
      '0:10.0.2.50:8000',
      '--allow',
      '127.0.0.1:1',
      net,
    );
    await home.attached(net, 1);
    await bothWays(net);
    const second = await home.exec(weft('slirp', '--name', 'out', net));
    expect({ status: second.status, stderr: second.stderr }).toEqual({
      status: 2,
      stderr: expect.stringMatching(/^weft: slirp: 'out' is there already .*; take another --name\n$/),
    });
    const { stdout: listed } = await home.exec(weft('ls'));
    expect(listed).toMatch(/^out /m);
    const [forward] = JSON.parse((await home.exec(weft('forward', 'ls', '--net', 'out', '--json'))).stdout);
    expect(forward).toMatchObject({ direction: 'in', forward: expect.stringMatching(/:10\.0\.2\.50:8000$/) });
    const [status] = (await home.ctl('out', 'gateway/status')) as {
      rules: string[];
      counters: { tcpOpened: number };
    }[];
    expect(status).toMatchObject({ port: 1, rules: ['allow 127.0.0.1:1'] });
    expect(status!.counters.tcpOpened).toBe(2);
    const { status: ended } = await home.exec(weft('down', 'out'));
    expect({ ended, gateway: (await gateway.ended).status }).toEqual({ ended: 0, gateway: 0 });
    await home.attached(net, 0);
  });

  test('says at once that its network is not up, and what of an option is wrong', async () => {
    const nowhere = await home.exec(weft('slirp', home.file('nowhere')));
    expect({ status: nowhere.status, stderr: nowhere.stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(/is not up/),
    });
    const wrong = await home.exec(weft('slirp', '--mtu', '5', await home.switch('net')));
    expect({ status: wrong.status, stderr: wrong.stderr }).toEqual({
      status: 2,
      stderr: "weft: slirp: mtu: '5' is out of range; take 1280 ... 65521\n",
    });
  });

  test('comes back when its network was away', async () => {
    const directory = home.file('net');
    const first = home.start(weft('switch', directory));
    await first.said(/is up in/);
    await home.engine('slirp', directory);
    await home.attached(directory, 1);
    await home.kill(first);
    await home.engine('switch', directory);
    await home.attached(directory, 1);
    await bothWays(directory);
  });

  test.each(['slirp:///mtu=9000', 'slirp://'])('%s is a plug of a switch', async (vnl) => {
    const net = await home.switch('net', '--plug', vnl);
    await bothWays(net, []); // the network leases
    const [plug] = (await home.ctl(net, 'plug/list')) as { id: number; port: number }[];
    await home.ctl(net, 'plug/remove', String(plug!.id));
    const { attached } = await home.inspect(net);
    expect(attached).toEqual([]);
    const added = (await home.ctl(net, 'plug/add', vnl)) as { id: number };
    expect(added.id).toBeGreaterThan(plug!.id);
    await bothWays(net, []);
  });

  test('is an end of a cable: weft plug slirp:// vde://NET', async () => {
    const net = await home.switch('net');
    home.start(weft('plug', 'slirp://', `vde://${net}`));
    await home.attached(net, 1);
    await bothWays(net);
  });

  test('is in a lab file, with its options', async () => {
    const lab = [
      'networks:',
      '  a:',
      '    gateway: { net: 10.7.0.0/16, mtu: 9000, net6: none }',
      '  b: { ports: 8 }',
    ].join('\n');
    writeFileSync(home.file('lab.yaml'), lab);
    await home.engine('up', home.file('lab.yaml'));
    const { stdout } = await inNet('a', [], `ip address show eth0; ${CURL4}`);
    expect(stdout).toMatch(/mtu 9000 /);
    expect(stdout).toMatch(/inet 10\.7\.0\.15\/16/);
    expect(stdout.endsWith(WORDS)).toBe(true);
    expect((await home.inspect('b')).attached).toEqual([]);
  });

  test.each([
    ['a: { gateway: { mtu: 5 } }', /lab\.yaml:2: gateway: mtu: '5' is out of range/],
    ['a: { gateway: { net: 10.0.0.0 } }', /lab\.yaml:2: gateway: net=10\.0\.0\.0/],
    ['a: { gateway: { speed: 9 } }', /lab\.yaml:2: gateway: unknown option 'speed'/],
    ['a: { gateway: 7 }', /lab\.yaml:2: 'gateway' must be true or false, or a mapping of options/],
  ])('a lab with %s says what is wrong, and where', async (line, said) => {
    writeFileSync(home.file('lab.yaml'), `networks:\n  ${line}\n`);
    const { status, stderr } = await home.exec(weft('up', home.file('lab.yaml')));
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringMatching(said) });
  });

  test("works on Node's own sockets where there are no system calls", async () => {
    const engine = home.start(weft('up'), { env: { WEFT_NO_NATIVE: '1' } });
    await engine.said(/ is up in /);
    const leads = ['-L', `18080:${WORLD4}:80`, '-L', `18081:[${WORLD6}]:80`];
    const stack: Running = home.start(
      weft('stack', ...leads, 'eth,ip=10.0.2.50/24,gw=10.0.2.2,ip=fd00::50/64,gw=fd00::2'),
    );
    await eventually('the stack', () => /is up in default: .*10\.0\.2\.50/.test(stack.stderr));
    expect(await home.sh('curl -sS -m 20 http://127.0.0.1:18080/ && curl -sS -m 20 http://127.0.0.1:18081/')).toBe(
      WORDS + WORDS,
    );
  });

  test('is shown by a mirror of its port', async () => {
    await home.engine('up');
    const watcher = home.start(weft('port', '--ascii'));
    await home.attached('default', 2);
    const [, { port }] = (await home.inspect()).attached as [unknown, { port: number }];
    await home.ctl('default', 'mirror', '0', String(port));
    await inNet('default', [], CURL4);
    await eventually('what a guest sends to the world', () => / C6 33 64 02 /.test(watcher.stdout));
  });

  test('keeps its place when leases cannot be kept', async () => {
    const engine = await home.engine('up', '--gateway', "leases='/proc/leases.json'");
    await bothWays('default', []);
    await eventually('one line', () => /leases cannot be saved \(E/.test(engine.stdout));
    expect(engine.stdout.match(/leases cannot be saved/g)).toHaveLength(1);
  });

  test('starts with an empty table where the file of leases is none', async () => {
    const directory = home.makeDirectory('weft');
    writeFileSync(`${home.makeDirectory('weft/default')}/leases.json`, '{"no": "leases"}\n', { mode: 0o644 });
    expect(directory).toBeTruthy();
    const engine = await home.engine('up');
    expect(engine.stdout).toMatch(/lease file is damaged/);
    await bothWays('default', []);
  });

  test('closed networks stay closed', async () => {
    await home.engine('up', '--no-gateway');
    expect((await home.inspect()).attached).toEqual([]);
    const { status, stderr } = await home.exec(weft('forward', 'add', '1:10.0.2.15:1'));
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: "weft: network 'default' has no gateway; add one by: plug/add slirp://\n",
    });
  });
});
