// A switch that other users may join: `weft switch --mode 0666`.

import { chmodSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { needPrograms, needRoot } from '../kit/run-kit.ts';
import { eventually, FramePipe, frame, Home, hex, PATIENT, weft } from '../kit/weft-kit.ts';

const OTHER = { uid: 1 };
const hello = frame({ from: '02:00:00:00:00:0a', text: 'hello' });
const answer = frame({ from: '02:00:00:00:00:0b', text: 'answer' });

let home: Home;
beforeEach((ctx) => {
  home = new Home();
  needRoot(ctx);
  needPrograms(ctx, 'vde_plug', 'vde_switch');
  chmodSync(home.directory, 0o711);
});
afterEach(() => home.close());

describe('another user', PATIENT, () => {
  test.each([
    ['vde_plug', (net: string) => ['vde_plug', `vde://${net}`]],
    ['weft plug', (net: string) => weft('plug', `vde://${net}`)],
  ])('joins our switch by %s', async (_name, command) => {
    const net = await home.switch('net', '--mode', '0666');
    const mine = await home.vdePlug(net);
    const theirs = new FramePipe(home.start(command(net), OTHER));
    expect((await home.attached(net, 2)).map(({ uid }) => uid)).toContain(OTHER.uid);
    mine.send(hello);
    expect(await theirs.heard(1)).toEqual([hex(hello)]);
    theirs.send(answer);
    expect(await mine.heard(1)).toEqual([hex(answer)]);
  });

  test('joins by weft run', async (ctx) => {
    needPrograms(ctx, 'ping');
    const net = await home.switch('net', '--mode', '0666');
    await home.program(net, ['--ip', '10.0.0.2/24'], 'exec cat');
    const ping = await home.program(net, ['--ip', '10.0.0.1/24'], 'ping -c1 -w10 10.0.0.2', OTHER);
    expect((await ping.ended).stdout).toContain('1 received');
  });

  test('joins a vde_switch by our plug', async () => {
    const { directory } = await home.vdeSwitch('theirs', '-m', '0666');
    const mine = new FramePipe(home.start(['vde_plug', `vde://${directory}`]));
    const theirs = new FramePipe(home.start(weft('plug', `vde://${directory}`), OTHER));
    await eventually('the frame', () => {
      mine.send(hello);
      return theirs.frames.some((each) => each.equals(hello));
    });
  });

  test('does not command the node, nor remove what is in its directory', async () => {
    const net = await home.switch('net', '--mode', '0666');
    const refused = await home.exec(weft('ctl', '--net', net, 'shutdown'), OTHER);
    expect(refused.stderr).toBe(`weft: network '${net}' belongs to another user (${net}/control: EACCES)\n`);
    expect(refused.status).toBe(1);
    const mirror = await home.exec(weft('port', net, '--mirror'), OTHER);
    expect({ status: mirror.status, stderr: mirror.stderr }).toEqual({ status: 1, stderr: refused.stderr });
    expect((await home.exec(['rm', `${net}/ctl`], OTHER)).status).toBe(1);
    await home.vdePlug(net);
  });

  test('does not join a switch that was not opened to him', async () => {
    const net = await home.switch('net');
    for (const command of [['vde_plug', `vde://${net}`], weft('run', '--net', net, 'true'), weft('port', net)]) {
      expect((await home.exec(command, OTHER)).status).not.toBe(0);
    }
    expect(await home.attached(net, 0)).toEqual([]);
  });
});
