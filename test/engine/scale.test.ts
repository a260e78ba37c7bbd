// Many ports, many stations, and a port that stops reading: one engine as a process, clients of system calls.

import { afterEach, expect, test } from 'vitest';
import { Rng } from '../../core/rng.ts';
import { whyNoNative } from '../../sys/libc.io.ts';
import { SOCK_STREAM } from '../../sys/socket.io.ts';
import { EngineProcess } from '../kit/engine-process.ts';
import {
  closePlug,
  connect,
  connectData,
  dataSocket,
  needsNative,
  type Plug,
  receive,
  send,
  vdeRequest,
} from '../kit/raw.ts';
import { until } from '../kit/test-host.ts';

const EAGAIN = -11;

let engine: EngineProcess | undefined;
const plugs: Plug[] = [];

afterEach(async () => {
  for (const plug of plugs.splice(0)) closePlug(plug);
  await engine?.stop();
  engine?.remove();
  engine = undefined;
});

const cell = new Int32Array(new SharedArrayBuffer(4));

/** Lets the engine work. */
const pause = (): unknown => Atomics.wait(cell, 0, 0, 1);

/** What `take` returns once it is not undefined. */
function wait<T>(take: () => T | undefined, what: string): T {
  for (let tries = 0; tries < 10_000; tries++) {
    const value = take();
    if (value !== undefined) return value;
    pause();
  }
  throw new Error(`waited for ${what}`);
}

function join(port = -1): Plug {
  const control = wait(() => {
    try {
      return connect(SOCK_STREAM, `${engine!.directory}/ctl`);
    } catch {
      return undefined; // the backlog is full
    }
  }, 'a connection');
  const { fd, address } = dataSocket();
  send(control, vdeRequest(port, address, 'scale'));
  const reply = wait(() => receive(control), 'a port');
  expect(reply).toHaveLength(110);
  connectData(fd, reply);
  const plug = { control, data: fd };
  plugs.push(plug);
  return plug;
}

const frameOf = new Uint8Array(60);

/** From station `source` to `target`; 0 is everybody. Valid until the next call. */
function frame(target: number, source: number): Uint8Array {
  frameOf.fill(0xff, 0, 6);
  if (target > 0) frameOf.set([2, 0, target >> 24, target >> 16, target >> 8, target]);
  frameOf.set([2, 0, source >> 24, source >> 16, source >> 8, source], 6);
  return frameOf;
}

function put(plug: Plug, bytes: Uint8Array): void {
  wait(() => (send(plug.data, bytes) === EAGAIN ? undefined : true), 'room to send');
}

const sourceOf = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(8);

/** Everything that waits at a plug. */
function drain(plug: Plug): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (let bytes = receive(plug.data); bytes !== undefined; bytes = receive(plug.data)) out.push(bytes);
  return out;
}

const start = async (...args: string[]): Promise<EngineProcess> => {
  engine = await EngineProcess.start(args);
  return engine;
};

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

interface Status {
  networks: [{ attached: number; stations: number; tableFull: number }];
}

const network = async (): Promise<Status['networks'][0]> => ((await engine!.ask('status')) as Status).networks[0];

test('1,000 VDE ports: a unicast frame reaches one of them, a flood the 999 others', {
  timeout: 60_000,
}, async (ctx) => {
  needsNative(ctx, whyNoNative());
  const { pid } = await start('--ports', '1100', '--quiet');
  await engine!.ask('status');
  const [descriptors, rss] = [engine!.countDescriptors(), engine!.rssBytes()];
  const ports = Array.from({ length: 1000 }, () => join());
  expect(await network()).toMatchObject({ attached: 1000 });
  console.log(
    `1,000 ports: ${mib(engine!.rssBytes() - rss)} more than none (process ${pid} has ${mib(engine!.rssBytes())})`,
  );

  put(ports[0]!, frame(0, 1));
  for (const plug of ports.slice(1)) expect(sourceOf(wait(() => receive(plug.data), 'the flood'))).toBe(1);
  for (const [i, plug] of ports.entries()) if (i > 0) put(plug, frame(1, i + 1));
  for (let seen = 0; seen < 999; seen += drain(ports[0]!).length) pause();

  const rng = new Rng(3);
  for (let n = 0; n < 2000; n++) {
    const [from, to] = [rng.u32() % 1000, rng.u32() % 1000];
    if (from === to) continue;
    put(ports[from]!, frame(to + 1, from + 1));
    expect(sourceOf(wait(() => receive(ports[to]!.data), `a frame from ${from} to ${to}`))).toBe(from + 1);
  }
  expect(ports.map((plug) => drain(plug).length).reduce((sum, n) => sum + n, 0)).toBe(0);

  for (const plug of plugs.splice(0)) closePlug(plug);
  await until(() => engine!.countDescriptors() <= descriptors, 'its descriptors to be closed', 10_000);
  expect(await network()).toMatchObject({ attached: 0, stations: 0 });
});

test('100,000 stations behind 10 ports are all found', { timeout: 60_000 }, async (ctx) => {
  needsNative(ctx, whyNoNative());
  await start('--ports', '16', '--quiet');
  const ports = Array.from({ length: 11 }, (_, i) => join(i + 1));
  const asker = ports.pop()!;
  const macOf = (port: number, n: number): number => (port + 1) * 100_000 + n;
  for (const [port, plug] of ports.entries()) {
    // To a station of the same port: learned, and sent to nobody.
    for (let n = 0; n < 10_000; n++) put(plug, frame(macOf(port, 0), macOf(port, n)));
  }
  await until(() => ports.every((plug) => send(plug.data, new Uint8Array(0)) >= 0), 'the queues', 10_000);
  for (let n = 0; n < 3000 && (await network()).stations < 100_000; n++) pause();
  expect(await network()).toMatchObject({ stations: 100_000, tableFull: 0 });
  for (const plug of ports) drain(plug);
  const rng = new Rng(5);
  for (let n = 0; n < 3000; n++) {
    const port = rng.u32() % 10;
    put(asker, frame(macOf(port, rng.u32() % 10_000), 7));
    expect(sourceOf(wait(() => receive(ports[port]!.data), `a frame at port ${port + 1}`))).toBe(7);
  }
  expect(ports.flatMap(drain)).toEqual([]);
  console.log(`100,000 stations: the process has ${mib(engine!.rssBytes())}`);
});

test('a full table goes on by flooding, and says so once', { timeout: 30_000 }, async (ctx) => {
  needsNative(ctx, whyNoNative());
  await start('--ports', '16', '--stations', '1000');
  const [a, b, c] = [join(1), join(2), join(3)];
  for (let n = 1; n <= 3000; n++) put(a, frame(1, n));
  await until(() => /table-full/.test(engine!.stdout), 'the line', 10_000);
  const status = await network();
  expect(status.stations).toBeLessThanOrEqual(1000);
  expect(status.tableFull).toBeGreaterThanOrEqual(2000);
  for (const plug of [a, b, c]) drain(plug);
  put(b, frame(2999, 5000));
  for (const plug of [a, c]) expect(sourceOf(wait(() => receive(plug.data), 'a flooded frame'))).toBe(5000);
  put(b, frame(500, 5000));
  expect(sourceOf(wait(() => receive(a.data), 'a frame to a station that was learned'))).toBe(5000);
  expect(drain(c)).toEqual([]);
  expect(engine!.stdout.match(/table-full/g)).toHaveLength(1);
});

test('a port that stops reading costs others nothing but time, which is printed', { timeout: 30_000 }, async (ctx) => {
  needsNative(ctx, whyNoNative());
  await start('--ports', '16', '--quiet');
  const [a, b, sender] = [join(1), join(2), join(3), join(4)];
  for (const [i, plug] of plugs.entries()) put(plug, frame(0, i + 1));
  for (let n = 0; n < 20; n++) pause();
  for (const plug of plugs) drain(plug);
  const quiet = ping(a, b, () => {});
  const busy = ping(a, b, () => {
    for (let k = 0; k < 8; k++) send(sender.data, frame(4, 3));
  });
  console.log(`delivery p50/p99 in µs: ${quiet.text} alone, ${busy.text} beside a port that has stopped reading`);
  expect([quiet.lost, busy.lost]).toEqual([0, 0]);
  const drops = (await engine!.ports()).map((port) => Object.keys(port.drops));
  expect(drops.slice(0, 3)).toEqual([[], [], []]);
  expect(drops[3]!.every((name) => name === 'tx-full' || name === 'tx-congested') && drops[3]!.length > 0).toBe(true);
});

/** Frames one after another; `before` each of them something else is done. */
function ping(from: Plug, to: Plug, before: () => void): { text: string; lost: number } {
  const times: number[] = [];
  let lost = 0;
  for (let n = 0; n < 2000; n++) {
    before();
    const started = performance.now();
    put(from, frame(2, 1));
    while (receive(to.data) === undefined && performance.now() - started < 1000);
    const took = performance.now() - started;
    if (took >= 1000) lost++;
    times.push(took * 1000);
  }
  times.sort((x, y) => x - y);
  return { text: `${times[1000]!.toFixed(0)}/${times[1980]!.toFixed(0)}`, lost };
}
