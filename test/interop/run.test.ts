import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { AS_USER, buildRunKit, needPrograms, needRoot, type Running, TestNetwork } from '../kit/run-kit.ts';

let dist: string;
let net: TestNetwork;

beforeAll(async () => {
  dist = await buildRunKit('test-run');
}, 30_000);
afterAll(() => rmSync(dist, { recursive: true, force: true }));
beforeEach(async () => {
  net = new TestNetwork(dist);
  await net.up();
});
afterEach(() => net.close());

const DEADLINE_MS = 60_000;

test.each([
  { script: 'exit 0', status: 0, signal: null },
  { script: 'exit 42', status: 42, signal: null },
  { script: 'kill -TERM $$', status: null, signal: 'SIGTERM' },
  { script: 'kill -KILL $$', status: null, signal: 'SIGKILL' },
  { script: 'kill -SEGV $$', status: 139, signal: null },
])('ends as its program ends: $script', { timeout: DEADLINE_MS }, async ({ script, status, signal }) => {
  const ended = await net.run(['--', 'sh', '-c', script]).ended;
  expect(ended).toMatchObject({ status, signal, stderr: '' });
});

test.each([
  { args: ['no-such-program'], status: 127, line: 'weft: no-such-program: command not found\n' },
  { args: ['/no/such/program'], status: 127, line: 'weft: /no/such/program: command not found\n' },
  { args: ['/etc/passwd'], status: 126, line: 'weft: /etc/passwd cannot be executed: EACCES\n' },
  { args: ['--ip', '10.0.0.1', 'true'], status: 2, line: /^weft: run: --ip '10.0.0.1': expected ADDRESS\/PREFIX.*\n$/ },
  { args: [], status: 2, line: 'weft: run: no program given; see: weft run --help\n' },
  { args: ['--gw', '10.0.0.1', 'true'], status: 1, line: /^weft: --gw 10.0.0.1 is in no network of --ip: .*\n$/ },
])('says in one line what was wrong: $args', { timeout: DEADLINE_MS }, async ({ args, status, line }) => {
  const ended = await net.run(args).ended;
  expect(ended.status).toBe(status);
  expect(ended.stderr).toMatch(line);
});

test('says how to start a network that is not up', { timeout: DEADLINE_MS }, async () => {
  await net.crash();
  const { status, stderr } = await net.run(['true']).ended;
  const { directory } = net;
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: `weft: network '${directory}' is not up (${directory}/join: ENOENT); start it with: weft up\n`,
  });
});

test('waits for a network that comes up later', { timeout: DEADLINE_MS }, async () => {
  await net.crash();
  const waiting = net.run(['--wait', '50', 'true']);
  await net.up();
  expect(await waiting.ended).toMatchObject({ status: 0, stderr: '' });
});

test('passes on why the engine refused the port', { timeout: DEADLINE_MS }, async () => {
  await net.crash();
  await net.up('refuse');
  const { status, stderr } = await net.run(['echo', 'not reached']).ended;
  expect(status).toBe(1);
  expect(stderr).toBe(`weft: network '${net.directory}' gave no port: no ports left (64 of 64)\n`);
});

test('names the sysctl that forbids namespaces', { timeout: DEADLINE_MS }, async (ctx) => {
  needPrograms(ctx, 'unshare');
  const forbidden = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"';
  const command = net.command('--net', net.directory, 'true');
  const { status, stderr } = await net.start([...AS_USER, 'unshare', '-Ur', 'sh', '-c', forbidden, 'sh', ...command])
    .ended;
  expect(status).toBe(1);
  expect(stderr).toBe('weft: run needs user namespaces, which sysctl user.max_user_namespaces=0 forbids\n');
});

test('says what it needs where unshare is missing', { timeout: DEADLINE_MS }, async () => {
  const command = net.command('--net', net.directory, 'true');
  const { status, stderr } = await net.start([...AS_USER, 'env', 'PATH=/none', ...command]).ended;
  expect(status).toBe(1);
  expect(stderr).toBe('weft: run needs the program unshare of util-linux 2.36 or later (ENOENT)\n');
});

test('mistrusts a stranger who serves a name of ours', { timeout: DEADLINE_MS }, async (ctx) => {
  needRoot(ctx);
  const stranger = new TestNetwork(dist);
  const served = `${stranger.directory}/weft/lab`;
  mkdirSync(served, { recursive: true });
  for (const path of [stranger.directory, `${stranger.directory}/weft`, served]) chmodSync(path, 0o777);
  const serve = [process.execPath, `${dist}/join-server.js`, served];
  const server = stranger.start([
    'setpriv',
    '--reuid=1',
    '--clear-groups',
    'sh',
    '-c',
    'umask 0; exec "$@"',
    'sh',
    ...serve,
  ]);
  await server.said(/ready/);
  const env = { ...process.env, XDG_RUNTIME_DIR: stranger.directory };
  const { status, stderr } = await stranger.start([...AS_USER, ...net.command('--net', 'lab', 'true')], { env }).ended;
  await stranger.close();
  expect(status).toBe(1);
  expect(stderr).toBe("weft: network 'lab' is served by user 1; name it by its directory if you trust it\n");
});

test('leaves everything but the network as the user has it', { timeout: DEADLINE_MS }, async () => {
  const show = [
    'pwd; umask; id; ulimit -n; ulimit -Hn; echo "$GREETING"; cat <&5; ls /proc/self/fd',
    "grep -E '^(Sig(Blk|Ign)|Groups|Umask)' /proc/self/status; cat /proc/self/comm",
  ].join(';');
  const outer = (inner: string[]) => [
    ...AS_USER,
    'sh',
    '-c',
    'umask 027; ulimit -Sn 512; "$@" 5</etc/hostname',
    'sh',
    ...inner,
  ];
  const cwd = mkdtempSync(`${tmpdir()}/weft-cwd-`);
  const options = { cwd, env: { ...process.env, GREETING: 'good morning' } };
  const bare = await net.start(outer(['sh', '-c', show]), options).ended;
  const inside = await net.start(outer(net.command('--net', net.directory, '--', 'sh', '-c', show)), options).ended;
  rmSync(cwd, { recursive: true });
  expect(bare.status).toBe(0);
  expect(inside).toEqual(bare);
});

test('tells its program the network, so that nested programs join the same', { timeout: DEADLINE_MS }, async () => {
  const { stdout } = await net.run(['sh', '-c', 'echo $WEFT_NET']).ended;
  expect(stdout).toBe(`${net.directory}\n`);
  const nested = await net.run(net.command('--name', 'inner', 'true')).ended;
  expect(nested).toMatchObject({ status: 0, stderr: '' });
  expect(net.server.stdout).toMatch(/joined .*"name":"inner"/);
});

test('a user has the rights that are about the network, and no others', { timeout: DEADLINE_MS }, async () => {
  const { stdout } = await net.run(['grep', '-E', 'Cap(Eff|Prm|Inh|Amb)', '/proc/self/status']).ended;
  const net3 = '0000000000003400'; // CAP_NET_BIND_SERVICE 10, CAP_NET_ADMIN 12, CAP_NET_RAW 13
  expect(stdout).toBe(`CapInh:\t${net3}\nCapPrm:\t${net3}\nCapEff:\t${net3}\nCapAmb:\t${net3}\n`);
});

test('pipes 10 MB through a program unharmed', { timeout: DEADLINE_MS }, async () => {
  const data = randomBytes(10_000_000);
  const cat = net.run(['cat']);
  cat.child.stdin!.end(data);
  const { status, stdout } = await cat.ended;
  expect(status).toBe(0);
  const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  expect(sha(Buffer.from(stdout, 'latin1'))).toBe(sha(data));
});

test.each(['TERM', 'HUP', 'INT', 'USR1', 'USR2', 'QUIT'] as const)(
  'passes SIG%s on to the program',
  { timeout: DEADLINE_MS },
  async (name) => {
    const script = `trap 'echo got ${name}; exit 5' ${name}; echo ready; while :; do sleep 0.02; done`;
    const program = net.run(['sh', '-c', script]);
    await program.said(/ready/);
    program.child.kill(`SIG${name}`);
    expect(await program.ended).toMatchObject({ status: 5, stdout: `ready\ngot ${name}\n` });
  },
);

test('ends its program if it is killed itself', { timeout: DEADLINE_MS }, async () => {
  const program = net.run(['sh', '-c', 'trap "echo ended; exit" TERM; echo ready; while :; do sleep 0.02; done']);
  await program.said(/ready/);
  program.child.kill('SIGKILL');
  await program.said(/ended/).catch(() => {}); // the pipe stays open until the program closed it
  expect((await program.ended).stdout).toBe('ready\nended\n');
  await net.server.said(/left/);
});

test('keeps the terminal, and its Ctrl-C comes once', { timeout: DEADLINE_MS }, async (ctx) => {
  needPrograms(ctx, 'script', 'python3');
  const count = [
    'import os, signal, sys, time',
    'seen = []',
    'signal.signal(signal.SIGINT, lambda *a: seen.append(1))',
    'print("ready", os.isatty(0), os.isatty(1), flush=True)',
    'sys.stdin.readline()',
    'time.sleep(0.1)',
    'print("interrupts", len(seen))',
  ].join('\n');
  const words = [...AS_USER, ...net.command('--net', net.directory, 'python3', '-c', count)];
  const line = words.map((word) => `'${word}'`).join(' ');
  const terminal = net.start(['script', '-qec', line, '/dev/null']);
  await terminal.said(/ready True True/);
  terminal.child.stdin!.write('\x03\n');
  await terminal.said(/interrupts 1\b/);
});

test('the port goes when the program ends', { timeout: DEADLINE_MS }, async () => {
  await net.run(['true']).ended;
  await net.server.said(/left/);
  expect(net.server.stdout).toMatch(
    /joined \{"v":1,"offload":true,"kind":"\w+","name":"true","pid":\d+,"mtu":1500,"mac":"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}","lease":true\}\nleft/,
  );
});

test.for([
  { family: 'IPv4', address: '10.0.0.2' },
  { family: 'IPv6', address: 'fd00::2' },
])('two programs ping each other by $family', { timeout: DEADLINE_MS }, async ({ address }, ctx) => {
  needPrograms(ctx, 'ping');
  const silent = net.run(['--ip', '10.0.0.2/24', '--ip', 'fd00::2/64', '--mtu', '9000', 'sh', '-c', 'echo up; cat']);
  await silent.said(/up/);
  const ping = net.run([
    '--ip',
    '10.0.0.1/24',
    '--ip',
    'fd00::1/64',
    '--mtu',
    '9000',
    'ping',
    '-c1',
    '-s8000',
    address,
  ]);
  const { status, stdout } = await ping.ended;
  expect(stdout).toContain('1 received');
  expect(status).toBe(0);
});

test('applies MAC address, MTU and gateway', { timeout: DEADLINE_MS }, async (ctx) => {
  needPrograms(ctx, 'ip');
  const args = ['--mac', '02:00:00:00:00:99', '--mtu', '1400', '--ip', '10.0.0.1/24', '--gw', '10.0.0.254'];
  const v6 = ['--ip', 'fd00::1/64', '--gw', 'fd00::fe'];
  const { stdout } = await net.run([...args, ...v6, 'sh', '-c', 'ip link show eth0; ip route; ip -6 route']).ended;
  expect(stdout).toMatch(/mtu 1400/);
  expect(stdout).toMatch(/link\/ether 02:00:00:00:00:99/);
  expect(stdout).toMatch(/default via 10.0.0.254 dev eth0/);
  expect(stdout).toMatch(/default via fd00::fe dev eth0/);
});

test.each([
  { args: [], leased: true },
  { args: ['--ip', '10.9.0.1/24'], leased: false },
])('takes the addresses that the engine leases: $args', { timeout: DEADLINE_MS }, async ({ args, leased }) => {
  await net.crash();
  await net.up('lease');
  const { stdout } = await net.run([...args, 'sh', '-c', 'ip addr show eth0; ip route']).ended;
  for (const line of ['inet 10.0.0.50/24', 'inet6 fd00::50/64', 'default via 10.0.0.254']) {
    expect(stdout.includes(line)).toBe(leased);
  }
});

test.each([
  { args: [], mtu: 1400, names: ['nameserver 10.0.0.254', 'nameserver fd00::53', 'search example.org'] },
  {
    args: ['--device', 'veth'],
    mtu: 1400,
    names: ['nameserver 10.0.0.254', 'nameserver fd00::53', 'search example.org'],
  },
  { args: ['--mtu', '1300'], mtu: 1300, names: ['nameserver 10.0.0.254', 'nameserver fd00::53', 'search example.org'] },
  { args: ['--dns', '10.0.0.7'], mtu: 1400, names: ['nameserver 10.0.0.7', 'search example.org'] },
  { args: ['--ip', '10.9.0.1/24', '--dns=10.9.0.2'], mtu: 1500, names: ['nameserver 10.9.0.2'] },
  { args: ['--no-dns'], mtu: 1400, names: undefined },
  { args: ['--ip', '10.9.0.1/24'], mtu: 1500, names: undefined },
])(
  'takes MTU and name servers of a lease, and leaves the host as it is: $args',
  { timeout: DEADLINE_MS },
  async ({ args, mtu, names }) => {
    await net.crash();
    await net.up('lease');
    const before = readFileSync('/etc/resolv.conf', 'utf8');
    const { stdout, stderr } = await net.run([...args, 'sh', '-c', 'ip link show eth0; cat /etc/resolv.conf']).ended;
    expect(stderr).toBe('');
    expect(stdout).toContain(` mtu ${mtu} `);
    expect(stdout.endsWith(names === undefined ? before : `${names.join('\n')}\n`)).toBe(true);
    expect(readFileSync('/etc/resolv.conf', 'utf8')).toBe(before);
  },
);

test('says why nothing can run without system calls', { timeout: DEADLINE_MS }, async () => {
  const { status, stderr } = await net.run(['true'], { env: { ...process.env, WEFT_NO_NATIVE: '1' } }).ended;
  expect(status).toBe(1);
  expect(stderr).toBe('weft: run needs system calls that this host does not give: WEFT_NO_NATIVE is set\n');
});

test('serves a web page on port 80 to curl, by IPv4 and IPv6', { timeout: DEADLINE_MS }, async (ctx) => {
  needPrograms(ctx, 'python3', 'curl');
  const serve = ['python3', '-u', '-m', 'http.server', '80', '--bind', '::', '--directory', '/etc'];
  const server = net.run(['--ip', '10.0.0.2/24', '--ip', 'fd00::2/64', ...serve]);
  await server.said(/Serving HTTP/);
  const get = 'curl -sf http://10.0.0.2/hostname && curl -sf "http://[fd00::2]/hostname"';
  const { status, stdout } = await net.run(['--ip', '10.0.0.1/24', '--ip', 'fd00::1/64', 'sh', '-c', get]).ended;
  expect(status).toBe(0);
  expect(stdout.trim().split('\n')).toHaveLength(2);
});

test('a restarted engine gets the ports back, and frames pass again', { timeout: DEADLINE_MS }, async () => {
  const silent = net.run(['--ip', '10.0.0.2/24', 'sh', '-c', 'echo up; cat']);
  const ping = net.run(['--ip', '10.0.0.1/24', 'sh', '-c', 'echo up; read line; exec ping -c1 -W5 10.0.0.2']);
  await Promise.all([silent.said(/up/), ping.said(/up/)]);
  await net.crash();
  await net.up();
  await net.server.said(/joined/, 2);
  ping.child.stdin!.end('\n');
  const { status, stdout } = await ping.ended;
  expect(stdout).toContain('1 received');
  expect(status).toBe(0);
});

/** `weft run` where /dev/net/tun may be opened by everybody, in a mount namespace of its own. */
function runWithTap(args: string[]): Running {
  const node = `${net.directory}/tun-${randomBytes(4).toString('hex')}`;
  const open = 'mknod -m 666 "$0" c 10 200 && mount --bind "$0" /dev/net/tun && exec "$@"';
  const command = net.command('--net', net.directory, '--device', 'tap', ...args);
  return net.start(['unshare', '--mount', 'sh', '-c', open, node, ...AS_USER, ...command]);
}

test('an ordinary user gets a TAP where it may open one', { timeout: DEADLINE_MS }, async (ctx) => {
  needRoot(ctx);
  const silent = runWithTap(['--ip', '10.0.0.2/24', '--ip', 'fd00::2/64', 'sh', '-c', 'echo up; cat']);
  await silent.said(/up/);
  expect(net.server.stdout).toMatch(/"kind":"tap"/);
  const script = 'ping -c1 10.0.0.2 && ping -c1 fd00::2 && ls -l /proc/self/fd';
  const ping = runWithTap(['--ip', '10.0.0.1/24', '--ip', 'fd00::1/64', 'sh', '-c', script]);
  const { status, stdout, stderr } = await ping.ended;
  expect(stderr).toBe('');
  expect(stdout.match(/1 received/g)).toHaveLength(2);
  expect(stdout).not.toContain('/dev/net/tun');
  expect(status).toBe(0);
});

test.for(['tap', 'veth'])('carries iperf3 over %s', { timeout: DEADLINE_MS }, async (device, ctx) => {
  needPrograms(ctx, 'iperf3');
  if (device === 'tap') needRoot(ctx);
  const start = (args: string[]): Running =>
    device === 'tap' ? runWithTap(args) : net.run(['--device', 'veth', ...args]);
  const server = start(['--ip', '10.0.0.2/24', 'iperf3', '-s', '-1', '--forceflush']);
  await server.said(/Server listening/);
  const client = await start(['--ip', '10.0.0.1/24', 'iperf3', '-c', '10.0.0.2', '-t', '1', '-J']).ended;
  const result = JSON.parse(client.stdout) as { end: { sum_received: { bytes: number } } };
  expect(result.end.sum_received.bytes).toBeGreaterThan(0);
  expect(client.status).toBe(0);
});
