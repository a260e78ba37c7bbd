// The engine is killed and started again: whoever was there comes back by himself.

import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { needPrograms, type Running } from '../kit/run-kit.ts';
import { eventually, Home, PATIENT, weft } from '../kit/weft-kit.ts';

const BACK_MS_MAX = 10_000; // generous: one second is meant

let home: Home;
beforeEach((ctx) => {
  home = new Home();
  needPrograms(ctx, 'ping');
});
afterEach(() => home.close());

const repliesOf = ({ stdout }: Running): number => stdout.match(/bytes from/g)?.length ?? 0;

/** Kills the engine, starts `words` in its place, and measures when a ping is answered again. */
async function killAndMeasure(engine: Running, ping: Running, words: string[]): Promise<number> {
  await eventually('a first answer', () => repliesOf(ping) > 0);
  await home.kill(engine);
  await home.engine(...words);
  const readyMs = performance.now();
  const before = repliesOf(ping);
  await eventually('an answer again', () => repliesOf(ping) > before);
  return performance.now() - readyMs;
}

const PING = 'exec ping -i 0.05 10.0.0.2';
const TARGET = ['--ip', '10.0.0.2/24'];
const PINGER = ['--ip', '10.0.0.1/24'];

describe('after kill -9 and a new start', PATIENT, () => {
  test('programs of weft run ping each other again', async () => {
    const net = home.file('net');
    const engine = await home.engine('switch', net);
    await home.program(net, TARGET, 'exec cat');
    const ping = await home.program(net, PINGER, PING);
    const ms = await killAndMeasure(engine, ping, ['switch', net]);
    console.log(`weft run is back after ${ms.toFixed(0)} ms`);
    expect(ms).toBeLessThan(BACK_MS_MAX);
    expect((await home.attached(net, 2)).map(({ kind }) => kind)).toEqual(['packet', 'packet']);
  });

  test('a download goes on where it was', async (ctx) => {
    needPrograms(ctx, 'python3', 'curl');
    const net = home.file('net');
    const engine = await home.engine('switch', net);
    const content = randomBytes(40_000_000);
    const served = home.makeDirectory('served');
    writeFileSync(`${served}/file`, content, { mode: 0o644 });
    const serve = ['python3', '-u', '-m', 'http.server', '80', '--directory', served];
    await home.start(weft('run', '--net', net, ...TARGET, '--', ...serve)).said(/Serving HTTP/);
    // More than all buffers on the way hold, and a reader that stops after 64 KiB until it is told to go on.
    await home.sh('mkfifo go');
    const slowly = '{ dd bs=64k count=1 iflag=fullblock of=first 2> /dev/null; cat go > /dev/null; cat first -; }';
    const client = await home.program(net, PINGER, `curl -sf http://10.0.0.2/file | ${slowly} | sha256sum`);
    await eventually('a first part', () => statSync(home.file('first'), { throwIfNoEntry: false })?.size === 65536);
    await home.kill(engine);
    await home.engine('switch', net);
    await home.attached(net, 2);
    await home.sh('echo > go');
    const sha = createHash('sha256').update(content).digest('hex');
    expect((await client.ended).stdout).toBe(`inside\n${sha}  -\n`);
  });

  test.each([
    { way: 'vde://', vnl: (net: string) => `vde://${net}` },
    { way: 'stream://', vnl: (net: string) => `stream://${net}/stream` },
  ])('weft plug $way joins two networks again', async ({ way, vnl }) => {
    const net = home.file('net');
    const other = await home.switch('other');
    const engine = await home.engine('switch', net);
    await home.program(net, TARGET, 'exec cat');
    home.start(weft('plug', vnl(net), `vde://${other}`));
    const ping = await home.program(other, PINGER, PING);
    const ms = await killAndMeasure(engine, ping, ['switch', net]);
    console.log(`${way} is back after ${ms.toFixed(0)} ms`);
    expect(ms).toBeLessThan(BACK_MS_MAX);
  });

  test.each(['ws', 'tcp'])('weft plug %s:// joins two networks again', async (scheme) => {
    const net = home.file('net');
    const other = await home.switch('other');
    const listen = (port: string): string[] => ['switch', net, '-p', `${scheme}://127.0.0.1:${port}/listen${token}`];
    const token = scheme === 'ws' ? '/token=secret' : '';
    const engine = await home.engine(...listen('0'));
    const [{ state }] = (await home.ctl(net, 'plug/list')) as [{ state: string }];
    const port = /:(\d+)/.exec(state)![1]!;
    await home.program(net, TARGET, 'exec cat');
    const plug = home.start(weft('plug', `${scheme}://127.0.0.1:${port}${token}`, `vde://${other}`));
    const ping = await home.program(other, PINGER, PING);
    const ms = await killAndMeasure(engine, ping, listen(port));
    expect(plug.stderr.match(/^weft: .*: connected$/gm)).toHaveLength(2);
    expect(engine.stdout + plug.stderr).not.toContain('secret');
    console.log(`${scheme}:// is back after ${ms.toFixed(0)} ms`);
    expect(ms).toBeLessThan(BACK_MS_MAX);
  });

  test('stale sockets are replaced, and a clean end leaves nothing', async () => {
    const net = home.file('net');
    const killed = await home.engine('switch', net);
    await home.kill(killed);
    const left = ['control', 'ctl', 'join', 'pid', 'stream'];
    expect(readdirSync(net).sort()).toEqual(left);
    const again = await home.engine('switch', net);
    expect(readdirSync(net).sort()).toEqual(left);
    expect((await home.inspect(net)).pid).toBe(again.child.pid);
    expect((await home.exec(weft('down', net))).status).toBe(0);
    expect((await again.ended).status).toBe(0);
    expect(readdirSync(home.directory)).toEqual([]);
  });
});

test('a second engine on the same directory is refused in one line that names the first', PATIENT, async () => {
  const net = home.file('net');
  const first = await home.engine('switch', net);
  for (const words of [
    ['switch', net],
    ['switch', '--daemon', net],
  ]) {
    const { status, stderr } = await home.exec(weft(...words));
    const why = `${net}/ctl: is already served by process ${first.child.pid}`;
    expect(stderr).toBe(`weft: ${why}; stop that one first (weft down) or choose another directory\n`);
    expect(status).toBe(2);
  }
  expect((await home.inspect(net)).pid).toBe(first.child.pid);
});
