import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest';
import { JOB_DEFAULTS, type Job, type Result } from '../../bench/kit/job.ts';
import { whyNoNative } from '../../sys/libc.io.ts';
import { skipIf } from '../kit/skip.ts';
import { ROOT } from '../kit/tidy.ts';

const out = join(ROOT, 'dist/test');
const generator = join(out, 'bench-generator.mjs');
const folder = mkdtempSync(join(tmpdir(), 'weft-test-'));
const dir = join(folder, 'net');
let vdeSwitch: ChildProcess | undefined;

const hasVde = spawnSync('vde_switch', ['--version']).error === undefined;
const reason = whyNoNative() ?? (hasVde ? undefined : 'vde_switch is not installed');

beforeAll(async () => {
  if (reason) return;
  await build({
    entryPoints: [join(ROOT, 'bench/generator.ts')],
    outfile: generator,
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: ['koffi'],
  });
  vdeSwitch = spawn('vde_switch', ['-s', dir, '-n', '16'], { stdio: ['pipe', 'ignore', 'ignore'] });
  for (const end = performance.now() + 5000; !existsSync(`${dir}/ctl`) && performance.now() < end; ) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
});

afterAll(async () => {
  if (vdeSwitch && vdeSwitch.exitCode === null) {
    vdeSwitch.kill();
    await once(vdeSwitch, 'exit');
  }
  rmSync(folder, { recursive: true, force: true });
});

function need(ctx: TestContext): void {
  skipIf(ctx, reason || undefined);
}

async function generate(job: Partial<Job>): Promise<Result> {
  const whole: Job = { ...JOB_DEFAULTS, dir, pids: [vdeSwitch!.pid!], seconds: 0.1, warmSeconds: 0.05, ...job };
  const { stdout } = await promisify(execFile)(process.execPath, [generator, JSON.stringify(whole)], {
    timeout: 20_000,
  });
  return JSON.parse(stdout) as Result;
}

const LOADS: readonly (readonly [string, Partial<Job>])[] = [
  ['a pair at full rate', { load: 'saturate' }],
  ['long frames', { load: 'saturate', frameBytes: 1514 }],
  ['all to all', { load: 'saturate', ports: 4, pattern: 'mesh' }],
  ['a flood', { load: 'saturate', ports: 5, pattern: 'flood' }],
  ['many stations', { load: 'saturate', ports: 5, stations: 500 }],
  ['blocking threads', { load: 'overload' }],
  ['an even stream', { load: 'paced', kpps: 10 }],
];

test.for(LOADS)('delivers %s to the right ports', async ([, job], ctx) => {
  need(ctx);
  const result = await generate(job);
  expect(result.delivered).toBeGreaterThan(0);
  expect(result.strays).toBe(0);
  expect(result.switchNs).toBeGreaterThan(0);
  expect(result.p99Us).toBe(0);
});

test.for([
  ['in one thread', {}],
  ['in two threads', { threads: 2 }],
  ['beside a port that reads', { ports: 4, bystander: 'reads' }],
  ['beside a port that has stopped', { ports: 4, bystander: 'stopped' }],
] as const)('pings %s and loses none', async ([, job], ctx) => {
  need(ctx);
  const result = await generate({ load: 'ping', ...job });
  expect(result.delivered).toBe(result.sent);
  expect(result.p99Us).toBeGreaterThanOrEqual(result.p50Us);
  expect(result.p50Us).toBeGreaterThan(0);
});

test('gives its ports back', async (ctx) => {
  need(ctx);
  for (let run = 0; run < 3; run++) expect((await generate({ ports: 12 })).delivered).toBeGreaterThan(0);
});

test('says when the switch is not there', async (ctx) => {
  need(ctx);
  await expect(generate({ dir: join(folder, 'nowhere') })).rejects.toThrow('ENOENT');
});

test.for([1, 32])('streams %d frames a call and gets every byte back', async (batch, ctx) => {
  need(ctx);
  const relayDir = join(folder, `relay-${batch}`);
  mkdirSync(relayDir);
  const relay = startRelay(`${relayDir}/stream`);
  await once(relay, 'listening');
  const result = await generate({ load: 'stream', dir: relayDir, pids: [], batch });
  relay.close();
  expect(result.delivered).toBe(result.sent);
  expect(result.delivered).toBeGreaterThan(0);
});

/** A stream cable between two clients. */
function startRelay(path: string): Server {
  const ends: Socket[] = [];
  return createServer((socket) => {
    socket.on('error', () => socket.destroy());
    if (ends.push(socket) < 2) return;
    ends[0]!.pipe(ends[1]!);
    ends[1]!.pipe(ends[0]!);
  }).listen(path);
}
