// Programs of VDE's users on our switch, and our plug among theirs.

import { createConnection } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { needPrograms, type Running } from '../kit/run-kit.ts';
import { eventually, FramePipe, frame, Home, hex, needTun, PATIENT, weft } from '../kit/weft-kit.ts';

let home: Home;
beforeEach((ctx) => {
  home = new Home();
  needPrograms(ctx, 'vde_plug', 'vde_switch', 'vdens', 'dpipe');
});
afterEach(() => home.close());

const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const C = '02:00:00:00:00:0c';

/** Two vdens that ping each other, one in each network. */
async function pingAcross(one: string, other: string): Promise<void> {
  await home.vdens(one, '10.0.0.2/24', 'exec cat').said(/inside/);
  const { stdout, stderr } = await home.vdens(other, '10.0.0.1/24', 'ping -c2 -i0.2 -w20 10.0.0.2').ended;
  expect(stdout + stderr).toMatch(/[12] received/);
}

/** A frame from one plug that the other one gets. */
async function reaches(from: FramePipe, to: FramePipe, text: string): Promise<void> {
  const sent = frame({ from: A, text });
  await eventually(`a frame saying ${text}`, () => {
    from.send(sent);
    return to.frames.some((each) => each.equals(sent));
  });
}

describe('on our switch', PATIENT, () => {
  test('two vdens ping each other', async (ctx) => {
    needTun(ctx);
    const net = await home.switch('net');
    await pingAcross(net, net);
  });

  test('frames of every length from 14 to 1518 bytes arrive unharmed from vde_plug at vde_plug', async () => {
    const net = await home.switch('net');
    const one = await home.vdePlug(net);
    const other = await home.vdePlug(net);
    const frames = [14, 15, 59, 60, 61, 64, 65, 1499, 1514, 1518].map((length) => {
      const bytes = Buffer.from(Array.from({ length }, (_, i) => (i * 7 + length) & 0xff));
      bytes.set(Buffer.from('ffffffffffff02000000000a88b5', 'hex'));
      return bytes;
    });
    one.send(...frames);
    expect(await other.heard(frames.length)).toEqual(frames.map(hex));
  });

  test('a plug gets the port that it names, 0 too', async () => {
    const net = await home.switch('net');
    await home.vdePlug(net, '[5]');
    await home.vdePlug(net, '[0]');
    await home.vdePlug(net);
    const { attached } = await home.inspect(net);
    expect(attached.map(({ port, kind }) => [port, kind])).toEqual([
      [0, 'vde'],
      [1, 'vde'],
      [5, 'vde'],
    ]);
  });

  test('two plugs on one port number get the same frames, and not each other’s', async () => {
    const net = await home.switch('net');
    const one = await home.vdePlug(net, '[5]');
    const twin = await home.vdePlug(net, '[5]');
    const other = await home.vdePlug(net);
    const [hello, answer] = [frame({ from: A, text: 'hello' }), frame({ from: B, to: A, text: 'answer' })];
    one.send(hello);
    expect(await other.heard(1)).toEqual([hex(hello)]);
    other.send(answer);
    expect(await one.heard(1)).toEqual([hex(answer)]);
    expect(await twin.heard(1)).toEqual([hex(answer)]);
  });

  test('a plug beyond the last port is refused and hears so', async () => {
    const net = await home.switch('net', '--ports', '4');
    const { status } = await home.exec(['vde_plug', `vde://${net}[5]`]);
    expect(status).not.toBe(0);
  });
});

describe('weft plug', PATIENT, () => {
  test('joins a vde_switch and our switch: vdens on both sides ping each other', async (ctx) => {
    needTun(ctx);
    const theirs = await home.vdeSwitch('theirs');
    const ours = await home.switch('ours');
    home.start(weft('plug', `vde://${theirs.directory}`, `vde://${ours}`));
    await home.attached(ours, 1);
    await pingAcross(theirs.directory, ours);
  });

  test('comes back when the vde_switch does', async () => {
    const theirs = await home.vdeSwitch('theirs');
    const ours = await home.switch('ours');
    home.start(weft('plug', `vde://${theirs.directory}`, `vde://${ours}`));
    await home.attached(ours, 1);
    const plug = await home.vdePlug(ours);
    await reaches(plug, new FramePipe(home.start(['vde_plug', `vde://${theirs.directory}`])), 'before');
    await home.kill(theirs.process);
    await home.vdeSwitch('theirs');
    await reaches(plug, new FramePipe(home.start(['vde_plug', `vde://${theirs.directory}`])), 'after');
  });

  test('is the command of a vde_plug cmd://', async (ctx) => {
    needTun(ctx);
    const [one, other] = [await home.switch('one'), await home.switch('other')];
    home.start(['vde_plug', `vde://${one}`, `cmd://${weft('plug', `vde://${other}`).join(' ')}`]);
    await Promise.all([home.attached(one, 1), home.attached(other, 1)]);
    await pingAcross(one, other);
  });

  test('runs vde_plug as a command of its own', async (ctx) => {
    needTun(ctx);
    const [one, other] = [await home.switch('one'), await home.switch('other')];
    home.start(weft('plug', `vde://${one}`, `cmd://vde_plug vde://${other}`));
    await Promise.all([home.attached(one, 1), home.attached(other, 1)]);
    await pingAcross(one, other);
  });

  test('has vde_plug’s framing on stdin and stdout: dpipe joins the two', async (ctx) => {
    needTun(ctx);
    const [one, other] = [await home.switch('one'), await home.switch('other')];
    home.start(['dpipe', 'vde_plug', `vde://${one}`, '=', ...weft('plug', `vde://${other}`)]);
    await Promise.all([home.attached(one, 1), home.attached(other, 1)]);
    await pingAcross(one, other);
  });

  test('with one network speaks 2-byte framing itself', async () => {
    const net = await home.switch('net');
    const pipe = new FramePipe(home.start(weft('plug', net)));
    await home.attached(net, 1);
    const plug = await home.vdePlug(net);
    const [there, back] = [frame({ from: A, text: 'there' }), frame({ from: C, text: 'back' })];
    pipe.send(there);
    expect(await plug.heard(1)).toEqual([hex(there)]);
    plug.send(back);
    expect(await pipe.heard(1)).toEqual([hex(back)]);
    pipe.running.child.stdin!.end();
    expect((await pipe.running.ended).status).toBe(0);
    await home.attached(net, 1);
  });

  test.each(['switch', 'hub'])('null:// %s://DIR is a switch that vde_plug joins', async (scheme) => {
    const directory = home.file('x');
    const serving: Running = home.start(weft('plug', 'null://', `${scheme}://${directory}`));
    await eventually('its socket', () => home.isSocket(`${directory}/ctl`));
    const [one, other] = ['', ''].map(() => new FramePipe(home.start(['vde_plug', `vde://${directory}`])));
    await reaches(one!, other!, 'hello');
    serving.child.kill('SIGTERM');
    expect((await serving.ended).status).toBe(0);
    expect(home.isSocket(`${directory}/ctl`)).toBe(false);
  });

  test('says in one line what no VNL can mean', async () => {
    const { status, stderr } = await home.exec(weft('plug', 'nonsense://x'));
    expect(stderr).toMatch(/^weft: vnl: unknown scheme 'nonsense'; known: .*\n$/);
    expect(status).toBe(2);
  });
});

test('a client that connects and says nothing harms nobody', PATIENT, async () => {
  const net = await home.switch('net');
  const silent = createConnection(`${net}/ctl`);
  const [one, other] = [await home.vdePlug(net), await home.vdePlug(net)];
  await reaches(one, other, 'hello');
  silent.destroy();
});
