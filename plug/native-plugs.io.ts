// Plugs on descriptors of our own, by scheme.

import { UsageError } from '../core/assert.ts';
import type { Port } from '../core/port.ts';
import type { Rng } from '../core/rng.ts';
import { groupNumber } from '../sys/group.io.ts';
import { SysError, sys } from '../sys/libc.io.ts';
import { SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, type Sockets } from '../sys/socket.io.ts';
import { openTap } from '../sys/tap.io.ts';
import { DatagramPort } from './datagram-port.io.ts';
import type { NativeHost } from './native-host.ts';
import type { PortInfo } from './port-room.ts';
import { openPtp } from './ptp.io.ts';
import { StreamPlug, streamPort } from './stream-plug.io.ts';
import { BACKLOG_BYTES_MAX } from './stream-port.io.ts';
import { TapPort } from './tap-port.io.ts';
import { UnixListener } from './unix-listener.io.ts';
import { ANY_PORT, VdePlug } from './vde-plug.io.ts';
import { bytesOption, intOption, type Vnl } from './vnl.ts';

/** Where a plug's ports go; see engine/fabric-node.io.ts. */
export interface Slot {
  attach(port: Port, info: PortInfo): void;
  detach(port: Port): void;
  state(text: string): void;
}

type Close = () => void;

const CLIENTS_MAX = 256;

/** Opens vde, stream (by path), tap, ptp and seqpacket. */
export class NativePlugs {
  private readonly host: NativeHost;
  private readonly sockets: Sockets;
  private readonly rng: Rng;

  constructor(host: NativeHost, sockets: Sockets, rng: Rng) {
    this.host = host;
    this.sockets = sockets;
    this.rng = rng;
  }

  /** How to close it again, or undefined if another kind of plug serves the scheme. Throws `UsageError`. */
  open(vnl: Vnl, slot: Slot): Close | undefined {
    try {
      switch (vnl.scheme) {
        case 'vde':
          return this.openVde(vnl, slot);
        case 'stream':
          return vnl.form === 'path' ? this.openStream(vnl, slot) : undefined;
        case 'tap':
          return this.openTap(vnl, slot);
        case 'ptp':
          return openPtp(this.host, this.sockets, vnl, slot);
        case 'seqpacket':
          return this.openInherited(vnl, slot);
        default:
          return undefined;
      }
    } catch (error) {
      if (error instanceof SysError) throw new UsageError(`${vnl.scheme}: ${error.message}`);
      throw error;
    }
  }

  private openVde(vnl: Vnl, slot: Slot): Close {
    const port = Number(vnl.options.get('port') ?? ANY_PORT);
    const given = vnl.options.get('mode');
    const mode = given === undefined ? undefined : Number.parseInt(given, 8);
    const description = vnl.options.get('descr') ?? `weft: user=${process.geteuid!()} pid=${process.pid}`;
    const path = vnl.address;
    if (path === '') throw new UsageError('vde: name the directory of a switch');
    const plug = new VdePlug(
      this.host,
      this.sockets,
      { path, port, mode, description, ...accessOf(vnl) },
      {
        onPort: (p) => slot.attach(p, { kind: 'vde', description: path }),
        onLost: (p) => slot.detach(p),
        tell: (text) => slot.state(text),
      },
    );
    return () => plug.close();
  }

  private openStream(vnl: Vnl, slot: Slot): Close {
    const path = vnl.address;
    const { host, sockets, rng } = this;
    const isPlain = vnl.options.has('plain');
    const queueBytesMax = bytesOption(vnl, 'queue', BACKLOG_BYTES_MAX);
    if (!vnl.options.has('listen') && !vnl.options.has('server')) {
      const plug = new StreamPlug(
        host,
        sockets,
        { path, isPlain, rng, queueBytesMax, isOnce: vnl.options.has('once') },
        {
          onPort: (p) => slot.attach(p, { kind: 'stream', description: path }),
          onLost: (p) => slot.detach(p),
          tell: (text) => slot.state(text),
        },
      );
      return () => plug.close();
    }
    const open = new Set<Port>();
    const clientsMax = intOption(vnl, 'clients', CLIENTS_MAX);
    const listener = new UnixListener(host, sockets, {
      path,
      type: SOCK_STREAM,
      mode: Number.parseInt(vnl.options.get('mode') ?? '600', 8),
      onConnection: (fd, peer) => {
        if (open.size >= clientsMax) {
          sockets.close(fd);
          slot.state(`more than ${clientsMax} clients; raise clients=`);
          return;
        }
        const lost = (): void => {
          open.delete(port);
          slot.detach(port);
        };
        const port = streamPort(host, sockets, fd, { rng, isPlain, queueBytesMax, onDead: lost });
        open.add(port);
        slot.attach(port, { kind: 'stream', description: `${path} pid ${peer.pid}`, uid: peer.uid, pid: peer.pid });
        port.start();
      },
    });
    slot.state('listening');
    return () => {
      listener.close();
      for (const port of open) slot.detach(port);
    };
  }

  private openTap(vnl: Vnl, slot: Slot): Close {
    let tap: ReturnType<typeof openTap>;
    try {
      tap = openTap(vnl.address);
    } catch (error) {
      const code = error instanceof SysError ? error.code : String(error);
      throw new UsageError(
        `tap: ${vnl.address}: ${code}; a TAP of the host needs CAP_NET_ADMIN and access to /dev/net/tun`,
      );
    }
    const port = new TapPort(this.host, tap.fd, () => slot.detach(port), { offload: true });
    slot.attach(port, { kind: 'tap', description: tap.name });
    port.start();
    slot.state('up');
    return () => slot.detach(port);
  }

  private openInherited(vnl: Vnl, slot: Slot): Close {
    const fd = Number(vnl.address);
    if (sys().fcntl(fd, 1, 0) < 0) throw new UsageError(`seqpacket: descriptor ${vnl.address} is not open`);
    const type = this.sockets.type(fd);
    if (type !== SOCK_SEQPACKET && type !== SOCK_DGRAM) {
      throw new UsageError(`seqpacket: descriptor ${vnl.address} is no packet or datagram socket`);
    }
    const port: DatagramPort = new DatagramPort(
      this.host,
      fd,
      () => {
        slot.detach(port);
        slot.state('the other end left');
      },
      { endsAtZero: true },
    );
    port.start(); // refuses a descriptor that cannot be waited for
    slot.attach(port, { kind: 'seqpacket', description: `descriptor ${fd}` });
    slot.state('up');
    return () => slot.detach(port);
  }
}

/** Who else may reach a VDE plug's socket, and which socket of the switch it asks first. */
function accessOf({ options }: Vnl): { gid?: number; portGroup?: string } {
  const group = options.get('group');
  const portGroup = options.get('portgroup');
  return {
    ...(group === undefined ? {} : { gid: groupNumber(group) }),
    ...(portGroup === undefined ? {} : { portGroup }),
  };
}
