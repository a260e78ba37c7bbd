// What one decision of the switch costs, without any I/O.

import { Rng } from '../core/rng.ts';
import { Switch } from '../switch/switch.ts';

const FRAME_BYTES = 64;
const FRAMES = 1 << 17;
const ROUNDS = 7;
const PORTS = 64;
const WORK = 1 << 20; // decisions per round

interface Case {
  readonly name: string;
  readonly hosts: number;
  readonly flows: number;
}

const CASES: readonly Case[] = [
  { name: '1 flow', hosts: 2, flows: 1 },
  { name: '64 hosts, one a port, random pairs', hosts: 64, flows: FRAMES },
  { name: '1,000 hosts, random pairs', hosts: 1_000, flows: FRAMES },
  { name: '100,000 MACs, random pairs', hosts: 100_000, flows: FRAMES },
];

/** Prints ns per frame: the median of some rounds and the best one. */
export function run(): void {
  for (const row of CASES) {
    const rounds = measure(row).sort((a, b) => a - b);
    console.log(`${row.name.padEnd(36)} ${format(rounds[ROUNDS >> 1]!)} ns/frame   best ${format(rounds[0]!)}`);
  }
  console.log(`${'flood to 1,000 ports'.padEnd(36)} ${format(measureFlood())} ns/frame`);
}

const format = (ns: number): string => ns.toFixed(1).padStart(7);

function measure({ hosts, flows }: Case): number[] {
  const rng = new Rng(1);
  const ports = Math.min(PORTS, hosts);
  const sw = new Switch({ portsMax: ports });
  for (let port = 0; port < ports; port++) sw.portUp(port, 0);
  const view = new DataView(new ArrayBuffer(FRAMES * FRAME_BYTES));
  for (let host = 0; host < hosts; host++) {
    writePair(view, 0, 0, host);
    sw.forward(view, 0, FRAME_BYTES, host % ports, 1);
  }
  const ingress = new Uint16Array(FRAMES);
  for (let i = 0; i < FRAMES; i++) {
    const source = flows === 1 ? 0 : rng.below(hosts);
    const target = flows === 1 ? 1 : rng.below(hosts);
    writePair(view, i * FRAME_BYTES, target, source);
    ingress[i] = source % ports;
  }
  const pool = flows === 1 ? 64 : FRAMES; // one flow's frames come from the few cells of one batch
  const rounds: number[] = [];
  for (let round = -2; round < ROUNDS; round++) {
    const ns = turn(sw, view, ingress, pool, 10 + round);
    if (round >= 0) rounds.push(ns);
  }
  return rounds;
}

function turn(sw: Switch, view: DataView, ingress: Uint16Array, pool: number, nowUs: number): number {
  let sum = 0;
  const start = process.hrtime.bigint();
  for (let n = 0; n < WORK; n++) {
    const i = n & (pool - 1);
    // The engine reads the clock once a breath, here every 64 frames.
    sum += sw.forward(view, i * FRAME_BYTES, FRAME_BYTES, ingress[i]!, nowUs * WORK + (n >> 6));
  }
  const ns = Number(process.hrtime.bigint() - start) / WORK;
  if (sum === 0) throw new Error('nothing was forwarded');
  return ns;
}

function measureFlood(): number {
  const ports = 1_000;
  const floods = 20_000;
  const sw = new Switch({ portsMax: ports });
  for (let port = 0; port < ports; port++) sw.portUp(port, 0);
  const view = new DataView(new ArrayBuffer(FRAME_BYTES));
  writePair(view, 0, 0, 1);
  for (let i = 0; i < 6; i++) view.setUint8(i, 0xff);
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    for (let n = 0; n < floods; n++) sw.forward(view, 0, FRAME_BYTES, 7, n);
    best = Math.min(best, Number(process.hrtime.bigint() - start) / floods);
  }
  return best;
}

function writePair(view: DataView, at: number, target: number, source: number): void {
  view.setUint16(at, 0x0200);
  view.setUint32(at + 2, target);
  view.setUint16(at + 6, 0x0200);
  view.setUint32(at + 8, source);
  view.setUint16(at + 12, 0x0800);
}
