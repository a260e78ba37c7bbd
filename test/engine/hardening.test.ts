// Bad input, and hosts that refuse, against the built command as a process.

import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { whyNoNative } from '../../sys/libc.io.ts';
import { SOCK_STREAM } from '../../sys/socket.io.ts';
import { EngineProcess, weft, weftCommand } from '../kit/engine-process.ts';
import { connect, needsNative, raw, receive, send } from '../kit/raw.ts';
import { AS_USER } from '../kit/run-kit.ts';
import { frame, record, tempDir, until } from '../kit/test-host.ts';
import { needTool } from '../kit/tool.ts';

let home: ReturnType<typeof tempDir>;
let engine: EngineProcess | undefined;

beforeEach(() => {
  home = tempDir();
});

afterEach(async () => {
  await engine?.stop();
  engine?.remove();
  engine = undefined;
  home.remove();
});

/** Exit status 2, nothing on stdout, one line on stderr. */
function refuses({ status, stdout, stderr }: ReturnType<typeof weft>, why: RegExp): void {
  expect(stderr.trimEnd().split('\n')).toEqual([expect.stringMatching(why)]);
  expect([status, stdout]).toEqual([2, '']);
}

describe('weft switch refuses in one line', () => {
  test.each(['ctl', 'stream', 'join', 'control'])('a symbolic link in the place of %s', (name) => {
    mkdirSync(home.file('net'), { mode: 0o700 });
    writeFileSync(home.file('victim'), 'precious');
    symlinkSync(home.file('victim'), home.file(`net/${name}`));
    refuses(weft(['switch', home.file('net')]), new RegExp(`/net/${name}: .*(link|not a socket).*remove it`));
    expect(existsSync(home.file('victim'))).toBe(true);
  });

  test('a directory that is a symbolic link', () => {
    mkdirSync(home.file('real'));
    symlinkSync(home.file('real'), home.file('net'));
    refuses(weft(['switch', home.file('net')]), /symbolic link; name the directory itself/);
  });

  test('a directory of another user', (ctx) => {
    needsNative(ctx, AS_USER.length === 0 ? 'needs root to be somebody else' : undefined);
    chmodSync(home.path, 0o755);
    mkdirSync(home.file('net'), { mode: 0o777 });
    refuses(weft(['switch', home.file('net')], { prefix: AS_USER }), /belongs to user 0, not to you/);
  });

  test.each<[string, string[], RegExp]>([
    ['a path too long', ['/tmp/'.padEnd(120, 'x')], /path of 120 bytes, at most 91/],
    ['a directory in a file', ['/etc/passwd/net'], /cannot be made a directory \(ENOTDIR\)/],
    ['an unknown key of a VNL', ['NET', '--plug', 'vde:///tmp/x[foo=1]'], /unknown option 'foo'; known: port/],
    ['an unknown scheme', ['NET', '--plug', 'foo://x'], /foo/],
    ['a port that no switch has', ['NET', '--plug', 'vde:///tmp/x[70000]'], /port.*65535/],
    ['a descriptor that is none', ['NET', '--plug', 'seqpacket://99'], /descriptor 99 is not open/],
    ['a pipe as a descriptor', ['NET', '--plug', 'seqpacket://7'], /descriptor 7 is no packet or datagram socket/],
    ['a ptp cable in no directory', ['NET', '--plug', 'ptp:///nonexistent/x'], /cannot be served \(ENOENT\)/],
    ['an unknown option', ['NET', '--frobnicate'], /unknown option '--frobnicate'/],
    ['no ports', ['NET', '--ports', '0'], /1 … 4095/],
    ['too many ports', ['NET', '--ports', '4096'], /1 … 4095/],
    ['no stations', ['NET', '--stations', '0'], /1 … 16777216/],
    ['a mode that is none', ['NET', '--mode', '9'], /octal/],
    ['a metrics address that is none', ['NET', '--metrics', 'x:99999'], /PORT 0 … 65535/],
    ['a group that is none', ['NET', '--group', 'nosuchgroup'], /not in \/etc\/group/],
    ['a pid file that cannot be', ['NET', '--pidfile', '/nonexistent/pid'], /cannot be written \(ENOENT\)/],
  ])('%s', (_name, args, why) => {
    const { status, stdout, stderr } = weft([
      'switch',
      '-q',
      ...args.map((arg) => (arg === 'NET' ? home.file('net') : arg)),
    ]);
    refuses({ status, stdout, stderr }, why);
    expect(existsSync(home.file('net'))).toBe(false);
  });
});

describe('weft up refuses a lab in one line with its place:', () => {
  test.each<[string, string, RegExp]>([
    ['nothing', '', /:1: a lab must be a mapping/],
    ['a list', '- a\n', /:1: a lab must be a mapping/],
    ['an unknown key', 'networks:\n  a:\nnetwork: 1\n', /:3: a lab has no key 'network'; there are: networks/],
    ['no networks', 'networks: {}\n', /:1: 'networks' must name 1 … 256/],
    ['a bad name', 'networks:\n  "a b":\n    ports: 1\n', /:\d: network 'a b': take letters/],
    ['a bad key', 'networks:\n  a:\n    prots: 3\n', /:3: network 'a' has no key 'prots'; there are: ports/],
    ['ports that are a text', 'networks:\n  a:\n    ports: many\n', /:3: 'ports' must be a whole number, 1 … 4095/],
    ['too many ports', 'networks:\n  a:\n    ports: 5000\n', /:3: 'ports' must be a whole number, 1 … 4095/],
    ['a flag that is none', 'networks:\n  a:\n    hub: perhaps\n', /:3: 'hub' must be true or false/],
    ['plugs that are no list', 'networks:\n  a:\n    plugs: tap://x\n', /:3: 'plugs' must be a list/],
    ['a bad VNL', "networks:\n  a:\n    plugs:\n      - 'vde://x[foo=1]'\n", /:4: vde: unknown option 'foo'/],
    [
      'a port out of range',
      'networks:\n  a:\n    ports: 4\n    vlans:\n      9: { access: 1 }\n',
      /:5: port '9' is out of range; take 0 … 4/,
    ],
    [
      'a port in hexadecimal',
      "networks:\n  a:\n    vlans:\n      '0x1': { access: 1 }\n",
      /:4: port '0x1' is out of range/,
    ],
    [
      'a VLAN out of range',
      'networks:\n  a:\n    vlans:\n      1: { access: 4095 }\n',
      /:4: 'access' must be a whole number, 1 … 4094/,
    ],
    [
      'a tagged VLAN out of range',
      'networks:\n  a:\n    vlans:\n      1:\n        tagged: [10, 5000]\n',
      /:5: 'tagged' takes VLANs 1 … 4094/,
    ],
    [
      'access and native',
      'networks:\n  a:\n    vlans:\n      1: { access: 1, native: 2 }\n',
      /:4: port 1: 'access' excludes/,
    ],
    ['a key twice', 'networks:\n  a:\n    ports: 1\n    ports: 2\n', /:4: .*unique/i],
    ['a tab', 'networks:\n\ta:\n', /:2: /],
    ['a bracket left open', 'networks: [\n', /:\d: /],
    ['an alias of nothing', 'networks: *x\n', /:1: /],
  ])('%s', (_name, text, why) => {
    writeFileSync(home.file('lab.yaml'), text);
    const result = weft(['up', home.file('lab.yaml')], { env: { XDG_RUNTIME_DIR: home.path } });
    refuses(result, new RegExp(`lab\\.yaml${why.source}`, why.flags));
  });

  test('a file that is not there', () => {
    refuses(weft(['up', home.file('none.yaml')]), /none\.yaml: cannot be read \(ENOENT\)/);
  });
});

describe('a running node refuses in one line', () => {
  test.each<[string[], RegExp]>([
    [['port/access', '129', '1'], /port '129' is out of range; take 0 … 128/],
    [['port/access', '1', '4095'], /out of range/],
    [['port/trunk', '1', '0', ...new Array<string>(4000).fill('1-4094')], /more than 4094/],
    [['port/close', '7'], /nothing is attached/],
    [['plug/add', 'udp://127.0.0.1:9', 'NaN'], /port 'NaN' is out of range/],
    [['plug/add', 'udp://127.0.0.1:9', '-5'], /port '-5' is out of range/],
    [['plug/add', 'udp://127.0.0.1:9', '1', '2'], /too much/],
    [['plug/add', 'nonsense'.repeat(1000)], /./],
    [['plug/add', 'stream:///nonexistent/x[listen]'], /ENOENT/],
    [['plug/remove', '77'], /plug 77 is not open/],
    [['mirror', 'all', '1', 'sideways'], /ingress, egress or both/],
    [['fdb/find', 'ff'], /./],
    [['__proto__'], /unknown command/],
  ])('%j', async (words, why) => {
    engine = await EngineProcess.start();
    await expect(engine.ask(...words)).rejects.toThrow(why);
    expect(await engine.ask('status')).toMatchObject({ pid: engine.pid });
  });

  test('a line too long, closing the connection', async () => {
    engine = await EngineProcess.start();
    const fd = connect(SOCK_STREAM, `${engine.directory}/control`);
    for (let n = 0; n < 4; n++) send(fd, new Uint8Array(30_000).fill(0x20));
    let text = '';
    await until(() => {
      const bytes = receive(fd);
      text += Buffer.from(bytes ?? []).toString();
      return bytes?.length === 0;
    }, 'the end');
    expect(JSON.parse(text)).toEqual({ id: null, ok: false, error: expect.stringMatching(/longer than 65536/) });
    raw.close(fd);
  });
});

describe('where the host gives no more', () => {
  test('disk, a capture counts what it lost, in one line', async (ctx) => {
    needTool(ctx, 'unshare');
    needsNative(ctx, whyNoNative());
    const mount = home.file('small');
    mkdirSync(mount);
    const shell = `exec unshare -rm sh -c 'mount -t tmpfs -o size=64k tmpfs ${mount} && exec "$@"' sh "$@"`;
    engine = await EngineProcess.start(['--plug', `pcap://${mount}/a.pcap`], { shell });
    const fd = connect(SOCK_STREAM, `${engine.directory}/stream`);
    await until(() => receive(fd) !== undefined, 'the HELLO');
    const lost = async (): Promise<number> => {
      send(fd, Buffer.concat(Array.from({ length: 10 }, () => record(frame(1, 1514)))));
      const [plug] = (await engine!.ask('plug/list')) as [{ drops: Record<string, number> }];
      return plug.drops['tx-error'] ?? 0;
    };
    let drops = 0;
    for (let n = 0; n < 500 && drops < 100; n++) drops = await lost();
    expect(drops).toBeGreaterThanOrEqual(100);
    expect(engine.stdout.split('\n').filter((line) => line.includes('ENOSPC'))).toHaveLength(1);
    expect(await engine.idleLoad()).toBeLessThan(0.5);
    raw.close(fd);
  });

  test('descriptors, nobody is let in until there are some, without spinning', async (ctx) => {
    needTool(ctx, 'prlimit');
    needsNative(ctx, whyNoNative());
    engine = await EngineProcess.start([], { shell: 'exec prlimit --nofile=48 "$@"' });
    await engine.ask('status');
    const fds: number[] = [];
    for (let n = 0; n < 60; n++) {
      fds.push(connect(SOCK_STREAM, `${engine.directory}/${n % 2 ? 'ctl' : 'stream'}`));
    }
    await until(() => engine!.countDescriptors() >= 47, 'no descriptor to be left');
    expect(await engine.idleLoad()).toBeLessThan(0.5);
    expect(await engine.ask('status')).toMatchObject({ pid: engine.pid });
    for (const fd of fds) raw.close(fd);
    const again = connect(SOCK_STREAM, `${engine.directory}/stream`);
    await until(() => (receive(again)?.length ?? 0) > 0, 'the next one to be served');
    raw.close(again);
    expect(engine.stderr).toBe('');
  });

  test('a reader of its news, it goes on', async (ctx) => {
    needsNative(ctx, whyNoNative());
    engine = await EngineProcess.start();
    engine.child.stdout!.destroy();
    for (let n = 0; n < 3; n++) {
      const fd = connect(SOCK_STREAM, `${engine.directory}/stream`);
      await until(() => receive(fd) !== undefined, 'the HELLO');
      raw.close(fd);
      await engine.ask('status');
    }
    expect([engine.child.exitCode, engine.stderr]).toEqual([null, '']);
  });

  test.each(['<&-', '>&-', '<&- >&- 2>&-'])('standard streams (%s), it serves', async (closed) => {
    engine = await EngineProcess.start([], { shell: `exec "$@" ${closed}` });
    expect(await engine.ask('status')).toMatchObject({ pid: engine.pid });
    const fd = connect(SOCK_STREAM, `${engine.directory}/stream`);
    await until(() => (receive(fd)?.length ?? 0) > 0, 'the HELLO');
    raw.close(fd);
    expect(await engine.stop()).toBe(0);
  });
});

describe('a node that ends', () => {
  test.each<NodeJS.Signals>(['SIGTERM', 'SIGINT', 'SIGHUP'])(
    'by %s removes its sockets and its directory',
    async (signal) => {
      engine = await EngineProcess.start(['--plug', 'udp://127.0.0.1:9']);
      const fd = connect(SOCK_STREAM, `${engine.directory}/stream`);
      await until(() => (receive(fd)?.length ?? 0) > 0, 'the HELLO');
      expect(engine.leftovers().sort()).toEqual(['control', 'ctl', 'join', 'pid', 'stream']);
      expect(await engine.stop(signal)).toBe(0);
      expect(existsSync(engine.directory)).toBe(false);
      raw.close(fd);
    },
  );

  test('by SIGKILL leaves sockets that the next one replaces', async () => {
    engine = await EngineProcess.start();
    await engine.stop('SIGKILL');
    expect(engine.leftovers().length).toBeGreaterThan(0);
    const result = weft(['switch', engine.directory, '--pidfile', '/nonexistent/pid', '-q']);
    refuses(result, /cannot be written/); // it got that far
    expect(existsSync(engine.directory)).toBe(false);
  });

  test('is not replaced while it lives', async () => {
    engine = await EngineProcess.start();
    refuses(weft(['switch', engine.directory, '-q']), new RegExp(`already served by process ${engine.pid}`));
    expect(await engine.ask('status')).toMatchObject({ pid: engine.pid });
  });

  test('leaves files alone that are not its own', async () => {
    engine = await EngineProcess.start();
    writeFileSync(`${engine.directory}/mine`, 'x');
    await engine.stop();
    expect(engine.leftovers()).toEqual(['mine']);
  });
});

test('a node whose fabric thread fails ends, and says why', async (ctx) => {
  needsNative(ctx, whyNoNative());
  // Breaks the thread at its first message.
  writeFileSync(
    home.file('break.mjs'),
    `import threads from 'node:worker_threads';
     import { syncBuiltinESMExports } from 'node:module';
     if (!threads.isMainThread) threads.receiveMessageOnPort = () => { throw new Error('broken on purpose'); };
     syncBuiltinESMExports();`,
  );
  const [program, ...rest] = [...weftCommand(), 'switch', home.file('net'), '-q'];
  const child = spawn(program!, rest, { env: { ...process.env, NODE_OPTIONS: `--import ${home.file('break.mjs')}` } });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  await until(() => existsSync(home.file('net/control')), 'the control socket', 10_000);
  expect(weft(['status', home.file('net')]).status).not.toBe(0);
  expect([await ended, stderr]).toEqual([1, expect.stringContaining('broken on purpose')]);
});

describe('without native code', () => {
  const env = { WEFT_NO_NATIVE: '1' };

  test('stream clients reach each other, and the node cleans up', async (ctx) => {
    needsNative(ctx, whyNoNative()); // for the clients
    engine = await EngineProcess.start([], { env });
    await until(() => existsSync(`${engine!.directory}/stream`), 'the stream socket');
    const [a, b] = [0, 1].map(() => connect(SOCK_STREAM, `${engine!.directory}/stream`)) as [number, number];
    for (const fd of [a, b]) await until(() => (receive(fd)?.length ?? 0) > 0, 'the HELLO');
    send(a, record(frame(1, 200)));
    let got: Uint8Array | undefined;
    await until(() => {
      got = receive(b);
      return got !== undefined;
    }, 'the frame');
    expect(Buffer.from(got!)).toEqual(record(frame(1, 200)));
    await until(() => engine!.stderr.endsWith('\n'), 'the line on stderr, a pipe of its own');
    expect(engine.stderr).toMatch(/WEFT_NO_NATIVE is set: VDE, TAP and 'weft run' cannot join/);
    expect(existsSync(`${engine.directory}/ctl`)).toBe(false);
    expect(await engine.stop()).toBe(0);
    expect(existsSync(engine.directory)).toBe(false);
    for (const fd of [a, b]) raw.close(fd);
  });

  test('WebSocket clients reach stream clients', async (ctx) => {
    needsNative(ctx, whyNoNative());
    engine = await EngineProcess.start(['--plug', 'ws://127.0.0.1:0/listen/token=abcdefghijklmnop'], { env });
    await until(() => /ws:\/\/127\.0\.0\.1:\d+/.test(engine!.stdout), 'the address');
    const [, port] = /127\.0\.0\.1:(\d+)/.exec(engine.stdout)!;
    const { WebSocket } = await import('ws');
    const socket = new WebSocket(`ws://127.0.0.1:${port}/?token=abcdefghijklmnop`);
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    const fd = connect(SOCK_STREAM, `${engine.directory}/stream`);
    await until(() => (receive(fd)?.length ?? 0) > 0, 'the HELLO');
    const arrived = new Promise<Buffer>((resolve) => socket.once('message', (data) => resolve(data as Buffer)));
    send(fd, record(frame(3, 100)));
    expect(await arrived).toEqual(frame(3, 100));
    socket.close();
    raw.close(fd);
  });

  test.each<[string[], RegExp, number]>([
    [['switch', 'NET', '-q', '--plug', 'vde:///tmp/x'], /vde: needs system calls, but WEFT_NO_NATIVE is set/, 2],
    [['switch', 'NET', '-q', '--plug', 'tap://x'], /tap: needs system calls, but WEFT_NO_NATIVE is set/, 2],
    [['plug', 'vde:///tmp/x', 'null://'], /vde: needs system calls, but WEFT_NO_NATIVE is set/, 2],
    [['run', '--', 'true'], /run needs system calls that this host does not give: WEFT_NO_NATIVE is set/, 1],
  ])('%j says what is missing', (args, why, status) => {
    const result = weft(
      args.map((arg) => (arg === 'NET' ? home.file('net') : arg)),
      { env },
    );
    expect(result.stderr.trimEnd().split('\n')).toEqual([expect.stringMatching(why)]);
    expect(result.status).toBe(status);
  });
});
