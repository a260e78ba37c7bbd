// Serves the connections of a listener on a stack for as long as it is open.

import { setTimeout as pause } from 'node:timers/promises';
import { type Listener, SocketError, type TcpStream } from '../stack/stack.ts';

/** A service that runs. */
export interface Serving {
  /** `ADDRESS:PORT`, `[ADDRESS]:PORT` of IPv6. */
  readonly at: string;
  close(): void;
}

const PAUSE_MS = 100;

/** Calls `act` for every connection. One that cannot be taken now (too many sockets) waits in the backlog. */
export function serve(listener: Listener, act: (stream: TcpStream) => void): Serving {
  let isOpen = true;
  const accept = async (): Promise<void> => {
    while (isOpen) {
      const stream = await listener.accept().catch((error: unknown) => {
        if (!(error instanceof SocketError)) throw error;
      });
      if (stream) act(stream);
      else if (isOpen) await pause(PAUSE_MS);
    }
  };
  void accept();
  const { address, port } = listener.local;
  const close = (): void => {
    isOpen = false;
    listener.close();
  };
  return { at: endText(address, port), close };
}

/** An address and a port as one text. */
export const endText = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
