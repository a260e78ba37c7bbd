// A listening socket of a network's directory whose callers ask for a port and keep the connection as long as they want it.

import type { PeerCredentials, Sockets } from '../sys/socket.io.ts';
import type { NativeHost } from './native-host.ts';
import type { PortRoom } from './port-room.ts';
import { type ListenOptions, UnixListener } from './unix-listener.io.ts';

export interface DoorOptions extends Omit<ListenOptions, 'onConnection'> {
  /** Connections at once, those who have not asked yet included. */
  callersMax: number;
  /** How long somebody may take to ask. */
  askUsMax: number;
}

/** A connection. It owns its descriptor. */
export interface Caller {
  close(): void;
}

/** What a caller tells the door. */
export interface Visit {
  /** It has a port: it may be silent from now on. */
  entered(): void;
  /** It is closed. Called once. */
  ended(): void;
}

/** Everybody is answered or closed in time; who leaves without a port is counted by the room. */
export class Door {
  private readonly host: NativeHost;
  private readonly sockets: Sockets;
  private readonly room: PortRoom;
  private readonly options: DoorOptions;
  private readonly open: (fd: number, peer: PeerCredentials, visit: Visit) => Caller;
  private readonly listener: UnixListener;
  private readonly callers = new Set<Caller>();

  /** Throws `UsageError` if the path cannot be served. */
  constructor(
    host: NativeHost,
    sockets: Sockets,
    room: PortRoom,
    options: DoorOptions,
    open: (fd: number, peer: PeerCredentials, visit: Visit) => Caller,
  ) {
    this.host = host;
    this.sockets = sockets;
    this.room = room;
    this.options = options;
    this.open = open;
    const onConnection = (fd: number, peer: PeerCredentials): void => this.admit(fd, peer);
    this.listener = new UnixListener(host, sockets, { ...options, onConnection });
  }

  close(): void {
    this.listener.close();
    for (const caller of this.callers) caller.close();
  }

  private admit(fd: number, peer: PeerCredentials): void {
    const { host, room, options, callers } = this;
    if (callers.size >= options.callersMax) {
      room.refuse();
      this.sockets.close(fd);
      return;
    }
    let isIn = false;
    let timer = 0;
    const caller = this.open(fd, peer, {
      entered: () => {
        isIn = true;
        host.cancel(timer);
      },
      ended: () => {
        host.cancel(timer);
        callers.delete(caller);
        if (!isIn) room.refuse();
      },
    });
    callers.add(caller);
    timer = host.at(host.nowUs() + options.askUsMax, () => caller.close());
  }
}
