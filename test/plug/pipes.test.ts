import { spawn } from 'node:child_process';
import * as dgram from 'node:dgram';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Drop } from '../../core/drop.ts';
import { openStdio } from '../../plug/command.io.ts';
import type { NodePlug } from '../../plug/node-plug.ts';
import { openNodePlug } from '../../plug/node-plugs.io.ts';
import { parseVnl } from '../../plug/vnl.ts';
import { frame, needs, record, TestHost, tempDir, until } from '../kit/test-host.ts';

const open: NodePlug[] = [];
let dir: ReturnType<typeof tempDir>;

beforeEach(() => {
  dir = tempDir();
});

afterEach(() => {
  for (const plug of open.splice(0)) plug.close();
  dir.remove();
});

async function plug(text: string, host: TestHost): Promise<NodePlug> {
  const it = await openNodePlug(parseVnl(text), host, host.hooks);
  open.push(it);
  return it;
}

/** A command that is a node script. */
function script(text: string): string {
  const file = dir.file(`script-${text.length}.cjs`);
  writeFileSync(file, text);
  return `cmd://'${process.execPath}' '${file}'`;
}

const pidOf = (it: NodePlug): number => Number(/pid ([0-9]+)/.exec(it.describe())?.[1] ?? 0);
const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

describe('cmd', () => {
  test('talks in records with 16-bit lengths to a child, which ends with the plug', async () => {
    const host = new TestHost();
    const it = await plug('cmd://cat', host);
    const port = host.ports[0]!;
    await until(() => host.send(port, frame(1), frame(2, 9000), frame(3, 1))[0] === Drop.None, 'started');
    await until(() => host.frames(port).length === 3, 'the echo');
    expect(host.frames(port)).toEqual([frame(1), frame(2, 9000), frame(3, 1)]);
    const pid = pidOf(it);
    expect(isAlive(pid)).toBe(true);
    it.close();
    await until(() => !isAlive(pid), 'the child gone');
  });

  test('ends a child that does not want to', async () => {
    const host = new TestHost();
    const it = await plug(
      script('process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); process.stdout.write("\\0\\1x")'),
      host,
    );
    await until(() => host.frames(host.ports[0]!).length === 1, 'ready');
    const pid = pidOf(it);
    it.close();
    await until(() => !isAlive(pid), 'the child gone');
  });

  test('starts it again when it ends, with the same port', async () => {
    const host = new TestHost();
    await plug(script('process.stdout.write(Buffer.concat([Buffer.from([0, 14]), Buffer.alloc(14, 7)]))'), host);
    const port = host.ports[0]!;
    await until(() => host.frames(port).length === 2, 'a frame from each of two');
    expect([host.ports, host.told.length > 0]).toEqual([[port], true]);
  });

  test('tells how it ended, and joins no half record of one run to the next', async () => {
    const host = new TestHost();
    await plug(script('process.stdout.write(Buffer.from([0, 2, 7, 7, 0, 9, 1]), () => process.exit(3))'), host);
    const port = host.ports[0]!;
    await until(() => host.frames(port).length === 3, 'a frame from each of three');
    expect(host.frames(port)).toEqual(Array.from({ length: 3 }, () => Buffer.from([7, 7])));
    expect(host.told).toEqual([expect.stringContaining('ended with status 3')]);
  });

  test('tells once why it cannot start, and goes on trying', async () => {
    const host = new TestHost();
    await plug('cmd:///nonexistent/program', host);
    await until(() => host.told.some((line) => line.includes('ENOENT')), 'told');
    expect(host.send(host.ports[0]!, frame(1))).toEqual([Drop.TxError]);
  });

  test('ends and counts a child that sends a length out of range', async () => {
    const host = new TestHost();
    await plug(script('process.stdout.write(Buffer.alloc(100, 255)); process.stdin.resume()'), host);
    const port = host.ports[0]!;
    await until(() => port.counters.drops.counts[Drop.RxLength]! >= 2, 'two of them cut off');
    expect(host.frames(port)).toEqual([]);
  });
});

describe('stdio', () => {
  test('carries records with 16-bit lengths and closes its port when the input ends', async () => {
    const host = new TestHost();
    const [input, output] = [new PassThrough(), new PassThrough()];
    open.push(openStdio(host, host.hooks, input, output));
    const port = host.ports[0]!;
    host.send(port, frame(1));
    expect(output.read()).toEqual(record(frame(1), 2));
    const bytes = Buffer.concat([record(frame(2), 2), record(frame(3, 9000), 2)]);
    for (let at = 0; at < bytes.length; at += 7) input.write(bytes.subarray(at, at + 7));
    input.end();
    await until(() => host.closed.length === 1, 'the port closed');
    expect(host.frames(port)).toEqual([frame(2), frame(3, 9000)]);
  });
});

describe('udp', () => {
  async function pair(host: TestHost): Promise<{ peer: dgram.Socket; plugPort: number }> {
    const peer = dgram.createSocket('udp4');
    peer.bind(0, '127.0.0.1');
    await once(peer, 'listening');
    const it = await plug(`udp://127.0.0.1:0/remote=127.0.0.1:${peer.address().port}`, host);
    return { peer, plugPort: Number(/:([0-9]+)->/.exec(it.describe())![1]) };
  }

  test('sends and takes raw frames as datagrams, from its peer alone', async () => {
    const host = new TestHost();
    const { peer, plugPort } = await pair(host);
    const port = host.ports[0]!;
    const got: Buffer[] = [];
    peer.on('message', (message) => got.push(message));
    await until(() => host.send(port, frame(1), frame(2, 1514))[0] === Drop.None, 'open');
    await until(() => got.length === 2, 'two datagrams');
    expect(got).toEqual([frame(1), frame(2, 1514)]);
    const stranger = dgram.createSocket('udp4');
    stranger.send(frame(66), plugPort, '127.0.0.1');
    peer.send(Buffer.alloc(0), plugPort, '127.0.0.1');
    peer.send(frame(3), plugPort, '127.0.0.1');
    await until(() => host.frames(port).length === 1, 'a frame');
    expect(host.frames(port)).toEqual([frame(3)]);
    peer.close();
    stranger.close();
  });

  test('survives a peer that is not there yet', async () => {
    const host = new TestHost();
    const { peer } = await pair(host);
    const port = host.ports[0]!;
    await until(() => host.send(port, frame(1))[0] === Drop.None, 'open');
    const { port: peerPort } = peer.address();
    peer.close();
    await until(() => {
      host.send(port, frame(1));
      return port.counters.drops.counts[Drop.TxError]! > 1;
    }, 'the refusal counted');
    const back = dgram.createSocket('udp4');
    back.bind(peerPort, '127.0.0.1');
    let count = 0;
    back.on('message', () => count++);
    await once(back, 'listening');
    await until(() => {
      host.send(port, frame(1));
      return count > 0;
    }, 'a datagram');
    back.close();
  });

  test('rejects a local end that is taken', async () => {
    const host = new TestHost();
    const { peer } = await pair(host);
    const taken = `udp://127.0.0.1:${peer.address().port}->127.0.0.1:9`;
    await expect(plug(taken, host)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    expect(host.ports).toHaveLength(1);
    peer.close();
  });
});

test('null swallows and counts', async () => {
  const host = new TestHost();
  await plug('null://', host);
  expect(host.send(host.ports[0]!, frame(1), frame(2, 100))).toEqual([Drop.None, Drop.None]);
  expect(host.ports[0]!.counters).toMatchObject({ txFrames: 2, txBytes: 160 });
});

test('a plug that needs more than the event loop is refused by name', async () => {
  await expect(plug('tap://tap0', new TestHost())).rejects.toThrow("tap: not a plug of Node's event loop");
});

test('vde_plug understands our 16-bit framing', async (ctx) => {
  needs(ctx, 'vde_plug');
  needs(ctx, 'vde_switch');
  const ctl = dir.file('ctl');
  const control = spawn('vde_switch', ['-s', ctl, '-M', dir.file('mgmt')], { stdio: ['pipe', 'ignore', 'ignore'] });
  try {
    await until(() => existsSync(`${ctl}/ctl`), 'vde_switch');
    const host = new TestHost();
    await plug(`cmd://vde_plug '${ctl}'`, host);
    await plug(`cmd://vde_plug '${ctl}'`, host);
    const [a, b] = host.ports;
    await until(() => {
      host.send(a!, frame(1));
      return host.frames(b!).length > 0;
    }, 'a frame through vde_switch');
    host.send(b!, frame(2, 1514));
    await until(() => host.frames(a!).length > 0, 'a frame back');
    expect([host.frames(b!)[0], host.frames(a!)[0]]).toEqual([frame(1), frame(2, 1514)]);
  } finally {
    for (const it of open.splice(0)) it.close();
    control.kill('SIGKILL');
    await once(control, 'exit');
  }
});
