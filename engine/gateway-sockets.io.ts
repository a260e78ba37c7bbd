// The host's sockets for a gateway: by system calls in the fabric's epoll where there are any, else Node's own.

import { NativeSockets } from '../slirp/host-sockets.io.ts';
import { NodeSockets } from '../slirp/node-sockets.io.ts';
import type { HostSockets } from '../slirp/slirp.ts';
import type { Fabric } from './fabric.io.ts';

/** Closed by whoever opened them. */
export interface OwnedSockets extends HostSockets {
  /** Closes every handle and gives the memory back. */
  end(): void;
}

/** `wake` is called when `dispatch` has something to tell. */
export function openHostSockets(fabric: Fabric, wake: () => void): OwnedSockets {
  if (!fabric.isNative) return new NodeSockets({ slab: fabric.slab, wake });
  return new NativeSockets({
    slab: fabric.slab,
    address: fabric.address,
    watch: (fd, events, watcher) => fabric.watch(fd, events, watcher),
    rewatch: (fd, events) => fabric.rewatch(fd, events),
    unwatch: (fd) => fabric.unwatch(fd),
    wake,
  });
}
