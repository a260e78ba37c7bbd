// A node as its operator and his tools see it: daemon, service manager, Prometheus, events, lists, lab file.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { needPrograms } from '../kit/run-kit.ts';
import { skipIf } from '../kit/skip.ts';
import { eventually, type FramePipe, frame, Home, hex, PATIENT, weft } from '../kit/weft-kit.ts';

let home: Home;
beforeEach((ctx) => {
  home = new Home();
  needPrograms(ctx, 'vde_plug');
});
afterEach(() => home.close());

const A = '02:00:00:00:00:0a';

describe('weft up', PATIENT, () => {
  test('--daemon returns when the network can be joined; weft down ends it', async () => {
    const pidfile = home.file('weft.pid');
    const up = await home.exec(weft('up', '--no-gateway', '--daemon', '--pidfile', pidfile));
    expect(up).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
    const { pid } = await home.inspect();
    expect(Number(readFileSync(pidfile, 'latin1'))).toBe(pid);
    expect((await home.exec(weft('run', '--', 'true'))).status).toBe(0);
    expect((await home.exec(weft('down'))).status).toBe(0);
    const { status, stderr } = await home.exec(weft('status'));
    expect(stderr).toMatch(/^weft: network 'default' is not up \(.*\); start it with: weft up\n$/);
    expect(status).toBe(1);
    await eventually('its end', () => {
      try {
        process.kill(pid, 0);
        return false;
      } catch {
        return true;
      }
    });
  });

  test('says READY=1 to the service manager', async (ctx) => {
    needPrograms(ctx, 'python3');
    const path = home.file('notify');
    const listen =
      'import socket,sys;s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM);s.bind(sys.argv[1]);print("bound",flush=True);print(s.recv(999).decode(),flush=True)';
    const manager = home.start(['python3', '-c', listen, path]);
    await manager.said(/bound/);
    const engine = home.start(weft('up', '--no-gateway'), { env: { NOTIFY_SOCKET: path } });
    expect((await manager.ended).stdout).toBe(`bound\nREADY=1\nMAINPID=${engine.child.pid}\n`);
    expect((await home.inspect()).pid).toBe(engine.child.pid);
  });

  test('brings up the networks of a lab file, with their VLANs and plugs', async () => {
    const lab = [
      'networks:',
      '  office:',
      '    ports: 8',
      '    vlans:',
      '      1: { access: 10 }',
      '      2: { access: 20 }',
      '      3: { native: 0, tagged: [10, 20] }',
      "    plugs: ['null://']",
      '  lab:',
      '    hub: true',
    ];
    writeFileSync(home.file('two.yaml'), lab.join('\n'));
    const engine = await home.engine('up', 'two.yaml');
    await engine.said(/network 'office' is up in/);
    await engine.said(/network 'lab' is up in/);
    const [office, hub] = [home.file('weft/office'), home.file('weft/lab')];
    const { networks } = await home.inspect('office');
    expect(networks.map(({ name, directory, ports }) => [name, directory, ports])).toEqual([
      ['office', office, 8],
      ['lab', hub, 1024],
    ]);
    const [one, trunk] = [await home.vdePlug(office, '[1]'), await home.vdePlug(office, '[3]')];
    one.send(frame({ from: A, text: 'hello' }));
    expect(await trunk.heard(1)).toEqual([hex(frame({ from: A, tags: ['8100000a'], text: 'hello' }))]);
    expect((await home.exec(weft('down', 'lab'))).status).toBe(0);
    expect((await engine.ended).status).toBe(0);
  });

  test('names file, line and key of what a lab file has wrong', async () => {
    writeFileSync(home.file('weft.yaml'), 'networks:\n  office:\n    prots: 8\n');
    const { status, stderr } = await home.exec(weft('up'));
    expect(stderr).toBe(
      "weft: weft.yaml:3: network 'office' has no key 'prots'; there are: ports, hub, age, gateway, plugs, vlans\n",
    );
    expect(status).toBe(2);
  });

  test('ends when a lab asks for what cannot be', async () => {
    writeFileSync(home.file('weft.yaml'), 'networks:\n  office:\n    ports: 8\n    vlans: { 1: { tagged: [5000] } }\n');
    const { status, stderr } = await home.exec(weft('up'));
    expect(stderr).toMatch(/^weft: .*'5000'.*\n$/);
    expect(status).toBe(2);
  });
});

describe('a running node', PATIENT, () => {
  test('serves metrics in the Prometheus text format', async () => {
    const net = home.file('net');
    const engine = await home.engine('switch', '--metrics', '127.0.0.1:0', net);
    const url = /^metrics (http\S+)$/m.exec(engine.stdout)![1]!;
    const [one, other] = [await home.vdePlug(net, '[1]'), await home.vdePlug(net, '[2]')];
    one.send(frame({ from: A, text: 'hello' }));
    await other.heard(1);
    const response = await fetch(url);
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4');
    const samples = parseExposition(await response.text());
    expect(samples.get('weft_port_sent_frames_total{network="net",port="2"}')).toBe(1);
    expect(samples.get('weft_port_received_bytes_total{network="net",port="1"}')).toBe(60);
    expect(samples.get('weft_stations{network="net"}')).toBe(1);
  });

  test.each([
    ['null:// 9', "port '9' is out of range; take 0 … 8"],
    ['null:// x', "port 'x' is out of range; take 0 … 8"],
    ['null:// 1 2', "plug/add: '2' is too much"],
    ['vde:///none 9', "port '9' is out of range; take 0 … 8"],
    ['nonsense://', /^vnl: unknown scheme 'nonsense'; known: /],
  ])('refuses plug/add %s in one line, and opens nothing', async (words, why) => {
    const net = await home.switch('net', '--ports', '8');
    const { status, stderr } = await home.exec(weft('ctl', '--net', net, 'plug/add', ...words.split(' ')));
    expect(stderr.replace(/^weft: /, '').trimEnd()).toMatch(why);
    expect(status).toBe(2);
    expect(await home.ctl(net, 'plug/list')).toEqual([]);
  });

  test('lists a command that ends as not running, and starts it again', async () => {
    const net = await home.switch('net', '--plug', 'cmd://false');
    await eventually('its end', async () => {
      const [{ state }] = (await home.ctl(net, 'plug/list')) as [{ state: string }];
      return state === 'cmd://false not running';
    });
  });

  test('tells events as they happen, and ends the stream with the node', async () => {
    const net = await home.switch('net');
    const events = home.start(weft('events', net));
    const plug: FramePipe = await eventually('the first event', async () => {
      const each = await home.vdePlug(net);
      if (events.stdout !== '') return each;
      await home.kill(each.running);
      await home.attached(net, 0);
      return undefined;
    });
    await home.kill(plug.running);
    await events.said(/"port-down"/);
    await home.ctl(net, 'plug/add', 'null://');
    await events.said(/"plug"/);
    const lines = events.stdout.trim().split('\n').slice(-4);
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ network: 'net' });
    await home.exec(weft('down', net));
    expect(await events.ended).toMatchObject({ status: 1, stderr: 'weft: the node ended\n' });
  });

  test('is in weft ls while it runs', async () => {
    const { stdout } = await home.exec(weft('ls'));
    expect(stdout).toBe(`no network is up in ${home.file('weft')}; start one with: weft up\n`);
    const engine = await home.engine('up', '--no-gateway');
    await home.vdePlug(home.file('weft/default'));
    const [row] = JSON.parse((await home.exec(weft('ls', '--json'))).stdout) as object[];
    const directory = home.file('weft/default');
    expect(row).toEqual({ name: 'default', directory, pid: engine.child.pid, ports: 1024, attached: 1 });
    expect((await home.exec(weft('ls'))).stdout).toMatch(/^NAME +PID +PORTS +DIRECTORY\ndefault +\d+ +1\/1024 +\/tmp/);
  });

  test('works without native code for streams, says what cannot join, and leaves nothing', async () => {
    const net = home.file('net');
    const engine = home.start(weft('switch', net), { env: { WEFT_NO_NATIVE: '1' } });
    await engine.said(/ is up in /);
    await eventually('the line on stderr, a pipe of its own', () => engine.stderr.endsWith('\n'));
    expect(engine.stderr).toBe(
      "weft: WEFT_NO_NATIVE is set: VDE, TAP and 'weft run' cannot join; stream, WebSocket and UDP plugs can\n",
    );
    const [one, other] = [1, 2].map(() => home.start(weft('port', net, '--ascii')));
    await home.attached(net, 2);
    one!.child.stdin!.write('FFFFFFFFFFFF 02000000000A 88B5 01 02\n');
    await other!.said(/^FFFFFFFFFFFF 02000000000A 88B5 01 02\n$/);
    expect((await home.exec(weft('down', net))).status).toBe(0);
    expect((await engine.ended).status).toBe(0);
    expect(existsSync(net)).toBe(false);
  });

  test('answers nobody but its owner', async (ctx) => {
    skipIf(ctx, process.getuid?.() === 0 ? undefined : 'only root can be somebody else');
    const net = await home.switch('net');
    const mode = await home.sh(`stat -c '%a %F' ${net} ${net}/*`);
    expect(mode).toBe('700 directory\n600 socket\n600 socket\n600 socket\n600 regular file\n600 socket\n');
  });
});

/** Name and labels to value, for `kind` and `id` left out; throws at the first line that is not in the format. */
function parseExposition(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  const typed = new Set<string>();
  for (const line of text.trimEnd().split('\n')) {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
    if (comment?.[1] === 'TYPE') typed.add(comment[2]!);
    if (comment) continue;
    const sample = /^([a-z_]+)(\{(?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*\})? (-?[\d.e+]+)$/.exec(line);
    if (!sample || !typed.has(sample[1]!)) throw new Error(`not a sample: ${line}`);
    samples.set(`${sample[1]}${sample[2] ?? ''}`.replace(/,kind="[^"]*",id="[^"]*"/, ''), Number(sample[3]));
  }
  return samples;
}
