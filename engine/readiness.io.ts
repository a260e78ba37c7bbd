// systemd's readiness protocol: one datagram to $NOTIFY_SOCKET.

import { Buffer } from 'node:buffer';
import { Slab } from '../core/slab.ts';
import { addressOf, sys, whyNoNative } from '../sys/libc.io.ts';
import { AF_UNIX, MSG_NOSIGNAL, SOCK_DGRAM, Sockets } from '../sys/socket.io.ts';

/** Says READY=1 to the service manager, if there is one. A manager that is gone is no reason to fail. */
export async function notifyReady(): Promise<void> {
  const path = process.env.NOTIFY_SOCKET;
  if (!path || whyNoNative()) return;
  const slab = new Slab({ bytesMax: 65536 });
  const sockets = new Sockets(slab);
  const fd = sockets.open(AF_UNIX, SOCK_DGRAM);
  const name = Buffer.alloc(110);
  name.writeUInt16LE(AF_UNIX, 0);
  const bytes = Buffer.from(path);
  if (bytes.length > 107) return;
  bytes.copy(name, 2);
  if (path.startsWith('@')) name[2] = 0;
  const at = slab.alloc(256);
  const text = Buffer.from(`READY=1\nMAINPID=${process.pid}`);
  slab.bytes.set(name, at);
  slab.bytes.set(text, at + 128);
  const base = addressOf(slab);
  sys().sendto(fd, base + at + 128, text.length, MSG_NOSIGNAL, base + at, 2 + bytes.length);
  sockets.close(fd);
}
