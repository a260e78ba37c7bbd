// A million requests that are none, over every socket of one engine.

import { openSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sendPacket } from '../../sys/fd-passing.io.ts';
import { SysError, whyNoNative } from '../../sys/libc.io.ts';
import { AF_UNIX, SOCK_SEQPACKET, SOCK_STREAM } from '../../sys/socket.io.ts';
import { ControlClient, EngineProcess } from '../kit/engine-process.ts';
import { Nonsense } from '../kit/nonsense.ts';
import { needsNative, raw, receive, send } from '../kit/raw.ts';
import { until } from '../kit/test-host.ts';

const SEED = 20_031;
const BATCH = 64;
const RSS_GROWTH_BYTES_MAX = 30 << 20;

let engine: EngineProcess;

beforeAll(async () => {
  // Small heaps: what grows is then what is kept, not what V8 has not looked at yet. A leak would end the process.
  const env = { NODE_OPTIONS: '--max-semi-space-size=2 --max-old-space-size=32' };
  if (whyNoNative() === undefined) engine = await EngineProcess.start(['--ports', '128', '--quiet'], { env });
});

afterAll(async () => {
  await engine?.stop();
  engine?.remove();
});

const breathe = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

/** Up to BATCH connections; a full backlog is waited for. */
async function connections(type: number, name: string): Promise<number[]> {
  const fds: number[] = [];
  while (fds.length < BATCH) {
    const fd = raw.open(AF_UNIX, type);
    const code = raw.connectUnix(fd, `${engine.directory}/${name}`);
    if (code === 0) fds.push(fd);
    else {
      raw.close(fd);
      expect(code).toBe(11); // EAGAIN
      await breathe();
    }
  }
  return fds;
}

async function control(nonsense: Nonsense, lines: number, requests: number): Promise<void> {
  const client = await ControlClient.connect(`${engine.directory}/control`);
  // A turn of the loop a write, so that answers are read meanwhile: who does not read is not read from either.
  const write = (text: string): Promise<void> =>
    new Promise((resolve) => client.socket.write(text, () => setImmediate(resolve)));
  let sent = 0;
  for (let left = lines; left > 0; left -= 1000) {
    const chunk = Array.from({ length: Math.min(1000, left) }, () => nonsense.line());
    sent += chunk.filter((line) => line.trim() !== '').length;
    await write(`${chunk.join('\n')}\n`);
  }
  for (let left = requests; left > 0; left -= 100) {
    await write(`${Array.from({ length: 100 }, () => nonsense.request()).join('\n')}\n`);
    sent += 100;
  }
  await until(() => client.answers >= sent, 'an answer for every line', 30_000);
  expect(client.answers).toBe(sent);
  client.close();
}

async function short(nonsense: Nonsense, name: string, count: number): Promise<void> {
  const device = openSync('/dev/null', 'r');
  for (let left = count; left > 0; left -= BATCH) {
    const fds = await connections(name === 'join' ? SOCK_SEQPACKET : SOCK_STREAM, name);
    for (const fd of fds) {
      if (name === 'ctl') send(fd, nonsense.vde());
      else packet(fd, nonsense.join(), nonsense.below(4) === 0 ? [device] : []);
    }
    for (const fd of fds) raw.close(fd);
  }
  raw.close(device);
}

function packet(fd: number, bytes: Uint8Array, descriptors: number[]): void {
  try {
    sendPacket(fd, bytes, descriptors);
  } catch (error) {
    if (!(error instanceof SysError)) throw error; // the engine may have closed it already
  }
}

async function streams(nonsense: Nonsense, count: number): Promise<void> {
  const perConnection = 200;
  for (let left = count; left > 0; left -= perConnection * BATCH) {
    const fds = await connections(SOCK_STREAM, 'stream');
    for (const fd of fds) {
      send(fd, nonsense.records(perConnection));
      receive(fd);
    }
    await breathe();
    for (const fd of fds) raw.close(fd);
  }
}

async function all(nonsense: Nonsense, share: number): Promise<void> {
  await control(nonsense, 500_000 * share, 20_000 * share);
  await streams(nonsense, 400_000 * share);
  await short(nonsense, 'ctl', 60_000 * share);
  await short(nonsense, 'join', 20_000 * share);
}

test(`serves on after 10^6 requests that are none (seed ${SEED})`, { timeout: 90_000 }, async (ctx) => {
  needsNative(ctx, whyNoNative());
  const nonsense = new Nonsense(SEED);
  await engine.ask('status');
  const descriptors = engine.countDescriptors();
  await all(nonsense, 0.5); // V8 grows its heaps to what the work needs, once
  const rss = engine.rssBytes();
  await all(nonsense, 0.5);
  await until(
    () => engine.countDescriptors() <= descriptors,
    `${descriptors} descriptors, not ${engine.countDescriptors()}`,
  );
  expect(await engine.ask('status')).toMatchObject({ networks: [{ attached: 0 }] });
  expect(engine.rssBytes() - rss).toBeLessThan(RSS_GROWTH_BYTES_MAX);
  console.log(
    `RSS ${(rss / 2 ** 20).toFixed(0)} MiB after half, ${(engine.rssBytes() / 2 ** 20).toFixed(0)} MiB after all`,
  );
  expect(await engine.idleLoad()).toBeLessThan(0.5);
  expect([engine.child.exitCode, engine.stderr]).toEqual([null, '']);
});
