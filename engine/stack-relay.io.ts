// Relays connections between this process's host and a stack in it, as ssh's -L and -R: bytes, the end of either way, resets.

import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import type { TcpStream } from '../stack/stack.ts';
import type { StackHost } from './stack-host.io.ts';
import { endText, type Serving, serve } from './stack-listen.io.ts';

/** A way from one side to the other. */
export interface Forward {
  /** Where it listens: a local address of the listening side, or undefined for its default. */
  readonly bind?: string | undefined;
  /** 0: one that is free. */
  readonly port: number;
  /** Where it leads, on the other side. */
  readonly host: string;
  readonly hostPort: number;
}

const LOOPBACK = '127.0.0.1';

/** Listens on this host, leads into the network. Resolves to where it listens and how to end it. Rejects as `listen` does. */
export async function forwardIn(host: StackHost, to: Forward): Promise<Serving> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {}); // the relay hears of it by `close`
    socket.on('close', () => sockets.delete(socket));
    host.tick();
    host.stack.streams.connect({ host: to.host, port: to.hostPort }).then(
      (stream) => relay(host, stream, socket),
      () => socket.resetAndDestroy(),
    );
  });
  server.listen(to.port, to.bind ?? LOOPBACK);
  await once(server, 'listening');
  const { address, port } = server.address() as { address: string; port: number };
  const close = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { at: endText(address, port), close };
}

/** Listens on the stack, leads to this host or where it can reach. Throws as `Streams.listen` does. */
export function forwardOut(host: StackHost, to: Forward): Serving {
  host.tick();
  return serve(
    host.stack.streams.listen({ port: to.port, ...(to.bind === undefined ? {} : { host: to.bind }) }),
    (stream) => {
      const socket = createConnection({ host: to.host, port: to.hostPort, allowHalfOpen: true });
      const refuse = (): void => {
        host.tick();
        stream.abort();
      };
      socket.once('error', refuse);
      socket.once('connect', () => {
        socket.removeListener('error', refuse);
        socket.on('error', () => {});
        relay(host, stream, socket);
      });
    },
  );
}

/** Both ways until both ended; each waits for its slower side. */
function relay(host: StackHost, stream: TcpStream, socket: Socket): void {
  socket.setNoDelay(true); // what comes in small pieces leaves in small pieces
  void toSocket(host, stream, socket);
  toStream(host, stream, socket);
}

async function toSocket(host: StackHost, stream: TcpStream, socket: Socket): Promise<void> {
  try {
    for (;;) {
      host.tick();
      const bytes = await stream.read();
      if (!bytes) break;
      if (!socket.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))) await hasRoom(socket);
    }
    socket.end();
  } catch {
    socket.resetAndDestroy();
  }
}

/** Resolves when the socket takes more, or is gone. */
function hasRoom(socket: Socket): Promise<void> {
  if (socket.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      socket.removeListener('drain', done);
      socket.removeListener('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
  });
}

function toStream(host: StackHost, stream: TcpStream, socket: Socket): void {
  let hasEnded = false;
  socket.on('data', (chunk) => {
    host.tick();
    socket.pause();
    stream.write(chunk).then(
      () => socket.resume(),
      () => socket.resetAndDestroy(),
    );
  });
  socket.on('end', () => {
    hasEnded = true;
    host.tick();
    void stream.end();
  });
  socket.on('close', (hadError) => {
    // Gone before it said that it had ended: a reset, which goes on as one.
    if (hasEnded && !hadError) return;
    host.tick();
    stream.abort();
  });
  socket.resume();
}
