// A tiny engine for tests of plugs: it joins all of its ports as a hub would, or just keeps what they receive.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Burst, PLAIN } from '../../core/burst.ts';
import { Drop } from '../../core/drop.ts';
import type { Port } from '../../core/port.ts';
import { Slab } from '../../core/slab.ts';
import type { PlugHost } from '../../plug/host.ts';
import type { NodePlugHooks } from '../../plug/node-plug.ts';
import { skipIf } from './skip.ts';

const CELL_BYTES = 1 << 17;

/** Breathes in the turn of the loop after a `wake`; with `isManual` only when told. Everything received is kept. */
export class TestHost implements PlugHost {
  readonly slab: Slab;
  readonly ports: Port[] = [];
  readonly closed: Port[] = [];
  readonly told: string[] = [];
  readonly refused: string[] = [];
  readonly drainedPorts: Port[] = [];
  readonly offloads: number[] = []; // per frame received: first word of its offload header, or 0
  isManual = false;
  isHub = false;
  private readonly received = new Map<Port, Buffer[]>();
  private readonly burst = new Burst(256);
  private readonly cell: number;
  private isDue = false;

  constructor({ slabBytesMax = 64 << 20 }: { slabBytesMax?: number } = {}) {
    this.slab = new Slab({ bytesMax: slabBytesMax });
    this.cell = this.slab.alloc(CELL_BYTES);
  }

  readonly hooks: NodePlugHooks = {
    onPort: (port) => this.ports.push(port),
    onPortClosed: (port) => {
      this.closed.push(port);
      this.ports.splice(this.ports.indexOf(port), 1);
    },
    onRefused: (why) => this.refused.push(why),
  };

  nowUs(): number {
    return Math.floor(performance.now() * 1000);
  }

  tell(_port: Port, text: string): void {
    this.told.push(text);
  }

  wake(_port: Port): void {
    if (this.isDue || this.isManual) return;
    this.isDue = true;
    setImmediate(() => {
      this.isDue = false;
      this.breath();
    });
  }

  drained(port: Port): void {
    this.drainedPorts.push(port);
  }

  /** One breath over all ports, until none has more. */
  breath(): void {
    for (const port of [...this.ports]) {
      for (let more = true; more; ) {
        this.burst.count = 0;
        more = port.receive(this.burst, this.nowUs());
        for (let n = 0; n < this.burst.count; n++) this.take(port, n);
        for (const other of this.ports) other.flush(this.nowUs());
      }
    }
  }

  private take(port: Port, n: number): void {
    const at = this.burst.at[n]!;
    const length = this.burst.length[n]!;
    const offload = this.burst.offload[n]!;
    port.counters.rxFrames++;
    port.counters.rxBytes += length;
    this.frames(port).push(Buffer.from(this.slab.bytes.slice(at, at + length)));
    this.offloads.push(offload === PLAIN ? 0 : this.slab.view.getUint32(offload));
    if (!this.isHub) return;
    for (const other of this.ports) {
      if (other !== port) count(other, other.queue(at, length, other.takesOffload ? offload : PLAIN));
    }
  }

  /** What a port received so far. */
  frames(port: Port): Buffer[] {
    const kept = this.received.get(port) ?? [];
    this.received.set(port, kept);
    return kept;
  }

  /** Sends frames through a port, in one flush. Returns what each `queue` said. */
  send(port: Port, ...frames: Uint8Array[]): Drop[] {
    const drops: Drop[] = [];
    let at = this.cell + 32;
    for (const frame of frames) {
      if (at + frame.length + 4 > this.cell + CELL_BYTES) {
        port.flush(this.nowUs());
        at = this.cell + 32;
      }
      at += 4;
      this.slab.bytes.set(frame, at);
      drops.push(count(port, port.queue(at, frame.length, PLAIN)));
      at += frame.length;
    }
    port.flush(this.nowUs());
    return drops;
  }

  /** Sends one frame with an offload header. */
  sendRich(port: Port, header: Uint8Array, frame: Uint8Array): Drop {
    const at = this.cell + 32;
    this.slab.bytes.set(header, this.cell);
    this.slab.bytes.set(frame, at);
    const drop = count(port, port.queue(at, frame.length, this.cell));
    port.flush(this.nowUs());
    return drop;
  }
}

/** Counts as the engine does what a port did not take. */
function count(port: Port, drop: Drop): Drop {
  if (drop !== Drop.None) port.counters.drops.add(drop);
  return drop;
}

/** A frame from station `n`, its payload filled with `n`. */
export function frame(n: number, length = 60): Buffer {
  const bytes = Buffer.alloc(length, n);
  if (length >= 14) {
    bytes.fill(0xff, 0, 6);
    bytes.set([2, 0, 0, 0, 0, n & 0xff], 6);
    bytes.writeUInt16BE(0x88b6, 12);
  }
  return bytes;
}

/** A record with a length of `prefixBytes`. */
export function record(frame: Uint8Array, prefixBytes = 4): Buffer {
  const bytes = Buffer.alloc(prefixBytes + frame.length);
  bytes.writeUIntBE(frame.length, 0, prefixBytes);
  bytes.set(frame, prefixBytes);
  return bytes;
}

/** Waits, looking every few milliseconds, until `isTrue`; fails after `msMax` saying what was waited for. */
export async function until(isTrue: () => boolean, what: string, msMax = 4_500): Promise<void> {
  const deadline = performance.now() + msMax;
  while (!isTrue()) {
    if (performance.now() > deadline) throw new Error(`waited ${msMax} ms for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

/** A directory of the test's own; `remove` when done. */
export function tempDir(): { path: string; file(name: string): string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'weft-'));
  return {
    path,
    file: (name) => join(path, name),
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** Skips the test, or fails it where nothing may be skipped, if `program` is not installed. */
export function needs(ctx: { skip(reason: string): void }, program: string, why?: string): void {
  const { error } = spawnSync(program, ['--version'], { stdio: 'ignore' });
  skipIf(ctx, error ? `${program} is not installed` : why);
}
