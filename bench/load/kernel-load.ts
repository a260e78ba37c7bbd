// The same loads on the kernel's own stack with node:net, over loopback: what a Node program has without us.

import { connect, createServer, type Socket } from 'node:net';
import { startEcho } from './stack-request.ts';

const BYTES = 64;
const REQUEST = new Uint8Array(100);
const ANSWER = new Uint8Array(200);
const CLIENTS = 32;

/** Round trip times in µs, sorted: with an echo server in this process, or in another. */
export async function kernelRequests(host: string, count: number, isApart: boolean): Promise<Float64Array> {
  if (isApart) {
    const { server, port } = await startEcho(host);
    try {
      return await ask(host, port, count);
    } finally {
      server.kill();
    }
  }
  const server = createServer((socket) => socket.setNoDelay(true).pipe(socket));
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return ask(host, (server.address() as { port: number }).port, count);
}

function ask(host: string, port: number, count: number): Promise<Float64Array> {
  const rttsUs = new Float64Array(count);
  const socket = connect(port, host).setNoDelay(true);
  let k = -(count >> 2);
  let got = 0;
  let startMs = 0;
  const send = (): void => {
    startMs = performance.now();
    socket.write(new Uint8Array(BYTES));
  };
  return new Promise((resolve, reject) => {
    socket.once('connect', send).once('error', reject);
    socket.on('data', (data: Buffer) => {
      got += data.length;
      if (got < BYTES) return;
      got = 0;
      if (k >= 0) rttsUs[k] = (performance.now() - startMs) * 1000;
      if (++k < count) send();
      else {
        socket.destroy();
        resolve(rttsUs.sort());
      }
    });
  });
}

/** Connect, request, answer, close by the server: how many a second. */
export async function kernelCycles(host: string, seconds: number): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => {}).once('data', () => socket.end(ANSWER)));
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as { port: number };
  const endMs = performance.now() + seconds * 1000;
  let done = 0;
  const client = async (): Promise<void> => {
    while (performance.now() < endMs) {
      await once(connect(port, host));
      done++;
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  server.close();
  return done / seconds;
}

function once(socket: Socket): Promise<void> {
  socket.once('connect', () => socket.write(REQUEST));
  socket.resume();
  return new Promise((resolve, reject) => socket.once('error', reject).once('close', () => resolve()));
}
