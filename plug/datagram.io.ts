// udp://: one datagram is one frame, between two ends that know each other. Nothing is encrypted: for local use.

import * as dgram from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { Drop } from '../core/drop.ts';
import { formatHostPort, type HostPort, isLoopback, parseUdpAddress } from './address.ts';
import type { PlugHost } from './host.ts';
import { MessagePort } from './message-port.io.ts';
import type { NodePlug, NodePlugHooks } from './node-plug.ts';
import { bytesOption, type Vnl } from './vnl.ts';

const QUEUE_BYTES = 1 << 20;
const SOCKET_BYTES = 1 << 20; // the kernel may give less

/** Opens a UDP plug. Rejects if the local end cannot be bound or the remote name does not resolve. */
export async function openUdp(vnl: Vnl, host: PlugHost, hooks: NodePlugHooks): Promise<NodePlug> {
  const { local, remote: named } = parseUdpAddress(vnl.address, vnl.options.get('remote'));
  const remote = await resolve(named);
  const socket = dgram.createSocket({
    type: remote.host.includes(':') ? 'udp6' : 'udp4',
    recvBufferSize: SOCKET_BYTES,
    sendBufferSize: SOCKET_BYTES,
  });
  await bind(socket, localEnd(local, remote));
  const port = new MessagePort({ host, queueBytesMax: bytesOption(vnl, 'queue', QUEUE_BYTES) });
  socket.on('error', () => port.counters.drops.add(Drop.TxError)); // ICMP says that nobody listens: he may yet
  // The kernel sorts strangers out from `connect` on; who came before it is still in the queue.
  socket.on('message', (message, from) => {
    if (from.port === remote.port && from.address === remote.host) port.accept(message);
    else port.counters.drops.add(Drop.RxSource);
  });
  hooks.onPort(port);
  let isClosed = false;
  socket.connect(remote.port, remote.host, () => {
    if (!isClosed) port.attach(medium(socket, port));
  });
  return {
    describe: () => `udp://${formatHostPort(boundTo(socket))}->${formatHostPort(remote)}`,
    close: () => {
      isClosed = true;
      port.close();
      socket.close();
    },
  };
}

async function resolve({ host, port }: HostPort): Promise<HostPort> {
  if (isIP(host) !== 0) return { host, port };
  const { address } = await lookup(host);
  return { host: address, port };
}

/** Without an address of its own the local end is as public as the remote one. */
function localEnd(local: HostPort | undefined, remote: HostPort): HostPort {
  const isIp6 = remote.host.includes(':');
  const any = isIp6 ? '::' : '0.0.0.0';
  const loopback = isIp6 ? '::1' : '127.0.0.1';
  const host = local && local.host !== '' ? local.host : isLoopback(remote.host) ? loopback : any;
  return { host, port: local?.port ?? 0 };
}

const boundTo = (socket: dgram.Socket): HostPort => {
  const { address, port } = socket.address();
  return { host: address, port };
};

function bind(socket: dgram.Socket, { host, port }: HostPort): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close();
      reject(error);
    });
    socket.bind({ address: host, port, exclusive: true }, () => {
      socket.removeAllListeners('error');
      resolve();
    });
  });
}

function medium(socket: dgram.Socket, port: MessagePort): Parameters<MessagePort['attach']>[0] {
  const sent = (error: Error | null): void => {
    if (error) port.counters.drops.add(Drop.TxError);
    port.drained();
  };
  return {
    queuedBytes: () => socket.getSendQueueSize(),
    send: (bytes, lengths, count) => {
      for (let n = 0, at = 0; n < count; n++) {
        socket.send(bytes, at, lengths[n]!, sent);
        at += lengths[n]!;
      }
    },
    pause: () => {}, // a datagram waits for nobody
  };
}
