// The services that every host once had, for those who test a network: echo (RFC 862), discard (863) and chargen (864).

import { randomInt } from 'node:crypto';
import type { ReceivedDatagram, TcpStream, UdpSocket } from '../stack/stack.ts';
import { SocketError } from '../stack/stack.ts';
import type { StackHost } from './stack-host.io.ts';
import { type Serving, serve } from './stack-listen.io.ts';

const ECHO_PORT = 7;
const DISCARD_PORT = 9;
const CHARGEN_PORT = 19;

const LINE_CHARS = 72;
const FIRST_CHAR = 32; // of the 95 printable ones
const CHARS = 95;
const DATAGRAM_CHARS_MAX = 512; // RFC 864

/** 95 lines, after which the pattern begins again: each is the one before, a character further. */
const PATTERN = makePattern();

/** Opens all three on TCP and UDP. Throws as `Streams.listen` does. */
export function openServices(host: StackHost): Serving[] {
  host.tick();
  const { streams } = host.stack;
  return [
    serve(streams.listen({ port: ECHO_PORT }), (stream) => void quietly(stream, echo)),
    serve(streams.listen({ port: DISCARD_PORT }), (stream) => void quietly(stream, discard)),
    serve(streams.listen({ port: CHARGEN_PORT }), (stream) => void quietly(stream, generate)),
    answerDatagrams(streams.udp({ port: ECHO_PORT }), ({ bytes }) => bytes),
    answerDatagrams(streams.udp({ port: DISCARD_PORT }), () => undefined),
    answerDatagrams(streams.udp({ port: CHARGEN_PORT }), () => PATTERN.subarray(0, randomInt(DATAGRAM_CHARS_MAX + 1))),
  ];
}

/** A connection that fails is the peer's affair. */
async function quietly(stream: TcpStream, act: (stream: TcpStream) => Promise<void>): Promise<void> {
  try {
    await act(stream);
    await stream.end();
  } catch (error) {
    stream.abort();
    if (!(error instanceof SocketError)) throw error;
  }
}

async function echo(stream: TcpStream): Promise<void> {
  for await (const bytes of stream) await stream.write(bytes);
}

async function discard(stream: TcpStream): Promise<void> {
  for await (const _ of stream);
}

/** Until the peer closes; what it sends is thrown away. */
async function generate(stream: TcpStream): Promise<void> {
  let hasEnded = false;
  const reading = discard(stream).finally(() => {
    hasEnded = true;
  });
  while (!hasEnded) await stream.write(PATTERN);
  await reading;
}

function answerDatagrams(socket: UdpSocket, answer: (datagram: ReceivedDatagram) => Uint8Array | undefined): Serving {
  let isOpen = true;
  const serveAll = async (): Promise<void> => {
    while (isOpen) {
      try {
        const datagram = await socket.receive();
        // Two such services, or one and its own address forged as the source, would answer each other for ever.
        const bytes = isService(datagram.port) ? undefined : answer(datagram);
        const { source: address, port, iface } = datagram;
        if (bytes) await socket.send(bytes, { address, port, iface });
      } catch (error) {
        if (!(error instanceof SocketError)) throw error;
      }
    }
  };
  void serveAll();
  const { address, port } = socket.local!;
  const close = (): void => {
    isOpen = false;
    socket.close();
  };
  return { at: `${address}:${port}`, close };
}

const isService = (port: number): boolean =>
  port === 0 || port === ECHO_PORT || port === DISCARD_PORT || port === CHARGEN_PORT;

function makePattern(): Uint8Array {
  const lineBytes = LINE_CHARS + 2;
  const pattern = new Uint8Array(CHARS * lineBytes);
  for (let line = 0; line < CHARS; line++) {
    for (let i = 0; i < LINE_CHARS; i++) pattern[line * lineBytes + i] = FIRST_CHAR + ((line + i) % CHARS);
    pattern.set([13, 10], line * lineBytes + LINE_CHARS);
  }
  return pattern;
}
