// A request and its answer, one at a time, on an open connection: between two stacks, and from a stack to the kernel.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { assert } from '../../core/assert.ts';
import type { SocketHandle } from '../../stack/stack.ts';
import { type LanOptions, lanAddress, StackLan } from './stack-lan.ts';
import { KERNEL, StackTap } from './stack-tap.ts';
import { dial, serve } from './stack-transfer.ts';

const PORT = 7;
const BYTES = 64;
const SECONDS_MAX = 10;

/** Round trip times in µs, sorted. */
export function requestsInProcess(options: LanOptions & { isIp6: boolean; count: number }): Float64Array {
  const lan = new StackLan(options);
  const [a, b] = [lan.add(), lan.add()];
  serve(b, options.isIp6, PORT, echo);
  const asker = new Asker(dial(a, lanAddress(2, options.isIp6), PORT), options.count);
  assert(
    lan.until(() => asker.isDone, SECONDS_MAX),
    'all answers came',
  );
  return asker.rttsUs.sort();
}

/** With an echo server of node:net in a process of its own, over a TAP in this namespace. */
export async function requestsToKernel(options: LanOptions & { isIp6: boolean; count: number }): Promise<Float64Array> {
  const tap = new StackTap(options);
  const host = KERNEL[options.isIp6 ? 6 : 4];
  const { server, port } = await startEcho(host);
  try {
    const asker = new Asker(dial(tap.stack, host, port), options.count);
    tap.until(() => asker.isDone, 'all answers', SECONDS_MAX);
    return asker.rttsUs.sort();
  } finally {
    server.kill();
  }
}

/** An echo server of node:net in another process. */
export function startEcho(host: string): Promise<{ server: ReturnType<typeof spawn>; port: number }> {
  const script = `
    const server = require('node:net').createServer((socket) => {
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    server.listen(0, ${JSON.stringify(host)}, () => console.log(server.address().port));`;
  const server = spawn(process.execPath, ['-e', script], { cwd: fileURLToPath(new URL('.', import.meta.url)) });
  return new Promise((resolve, reject) => {
    server.stdout.once('data', (data: Buffer) => resolve({ server, port: Number(String(data)) }));
    server.once('exit', (code) => reject(new Error(`the echo server ended with ${code}`)));
  });
}

function echo(handle: SocketHandle): void {
  const into = new Uint8Array(BYTES);
  handle.onReadable = () => {
    for (;;) {
      const n = handle.read(into, 0, BYTES);
      if (n <= 0) return;
      handle.write(into, 0, n);
    }
  };
}

/** Asks again as soon as the answer is whole. The first fifth is not measured. */
class Asker {
  isDone = false;
  readonly rttsUs: Float64Array;
  private readonly handle: SocketHandle;
  private readonly warm: number;
  private readonly bytes = new Uint8Array(BYTES);
  private asked = 0;
  private got = 0;
  private startMs = 0;

  constructor(handle: SocketHandle, count: number) {
    this.handle = handle;
    this.warm = count >> 2;
    this.rttsUs = new Float64Array(count);
    handle.onReadable = () => this.read();
    handle.onWritable = () => {
      handle.onWritable = undefined;
      this.ask();
    };
  }

  private ask(): void {
    this.got = 0;
    this.startMs = performance.now();
    this.handle.write(this.bytes, 0, BYTES);
  }

  private read(): void {
    for (;;) {
      const n = this.handle.read(this.bytes, 0, BYTES - this.got);
      assert(n !== 0, 'the server is there');
      if (n < 0) return;
      this.got += n;
      if (this.got < BYTES) continue;
      const k = this.asked++ - this.warm;
      if (k >= 0) this.rttsUs[k] = (performance.now() - this.startMs) * 1000;
      this.isDone = k === this.rttsUs.length - 1;
      if (this.isDone) return;
      this.ask();
    }
  }
}
