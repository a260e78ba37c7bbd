// A network of this node: its switch, its directory with the sockets that others join by, and its own plugs.

import { rmdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { assert, UsageError } from '../core/assert.ts';
import type { Port } from '../core/port.ts';
import { Rng } from '../core/rng.ts';
import { US_PER_S } from '../core/time.ts';
import { openJoinDoor } from '../plug/join-server.io.ts';
import { ANY_PORT, type JoinLease, type PortInfo, type PortRoom } from '../plug/plug.ts';
import { streamPort } from '../plug/stream-plug.io.ts';
import { BACKLOG_BYTES_MAX } from '../plug/stream-port.io.ts';
import { prepareDirectory, UnixListener } from '../plug/unix-listener.io.ts';
import { openVdeDoor } from '../plug/vde-server.io.ts';
import { Switch } from '../switch/switch.ts';
import { SOCK_STREAM } from '../sys/socket.io.ts';
import type { Fabric } from './fabric.io.ts';
import type { NewGateway } from './gateway-host.io.ts';
import type { GatewayOptions } from './gateway-options.ts';
import type { NetworkGateway } from './gateway-view.ts';
import { Cable, Network } from './network.ts';

const CONNECTIONS_MAX = 4200; // above the most ports, so that a full switch still answers
const MANAGEMENT_PORT = 0;
const CABLE_FAR_END = 1;
const ALONE: ReadonlySet<string> = new Set(['tap', 'packet']); // of weft run, with its process; those of plugs have none
const LOOK_US = US_PER_S; // between looks at the table, as often as an idle thread wakes up anyway

/** What one network is to be. */
export interface NetworkOptions {
  name: string;
  /** Where its sockets are; undefined: nobody joins by path. */
  directory?: string | undefined;
  kind: 'switch' | 'hub' | 'cable';
  /** 1 … 4095 ports, numbered from 1; 0 is the management port. */
  ports: number;
  /** Permissions of the sockets and of the directory. */
  mode: number;
  dirMode: number;
  gid?: number | undefined;
  ageSeconds?: number | undefined;
  /** The most stations to remember, 131072 by default. */
  stationsMax?: number | undefined;
  /** A gateway on the management port, of a cable at its far end: its options, or their text as behind `slirp:///`. */
  gateway?: GatewayOptions | string | undefined;
  /** Nobody joins by the directory: it is for control alone. */
  isPrivate?: boolean | undefined;
}

/** Something that happened, for those who watch. */
export type Notify = (event: { event: string; network: string; port?: number; text?: string }) => void;

/** Assembles one network on a fabric and lets ports in. */
export class NetworkService implements PortRoom {
  readonly network: Network;
  readonly options: NetworkOptions;
  private readonly fabric: Fabric;
  private readonly notify: Notify;
  private readonly reserved = new Set<number>();
  private readonly closers: (() => void)[] = [];
  private readonly gateways_ = new Set<NetworkGateway>();
  private readonly rng: Rng;

  /** Throws `UsageError` if the directory cannot be served. */
  constructor(fabric: Fabric, options: NetworkOptions, notify: Notify, seed: number, newGateway?: NewGateway) {
    this.fabric = fabric;
    this.options = options;
    this.notify = notify;
    this.rng = new Rng(seed);
    const portsMax = options.kind === 'cable' ? 2 : options.ports + 1;
    const forwarder =
      options.kind === 'cable'
        ? new Cable()
        : new Switch({
            portsMax,
            hub: options.kind === 'hub',
            hashSeed: this.rng.u32(), // strangers choose MACs
            ...(options.ageSeconds === undefined ? {} : { ageUs: options.ageSeconds * 1_000_000 }),
            ...(options.stationsMax === undefined ? {} : { fdbEntriesMax: options.stationsMax }),
          });
    this.network = new Network(options.name, forwarder, { portsMax });
    if (options.directory !== undefined) this.serve(options.directory);
    fabric.networks.set(options.name, this.network);
    if (this.switch) this.watchTable(this.switch);
    if (options.gateway !== undefined) this.openOwnGateway(options.gateway, newGateway);
  }

  /** The switch, where this is one. */
  get switch(): Switch | undefined {
    return this.network.forwarder instanceof Switch ? this.network.forwarder : undefined;
  }

  /** By port number. */
  get gateways(): NetworkGateway[] {
    return [...this.gateways_].sort((a, b) => a.number - b.number);
  }

  /** Attaches a gateway to a port; how to close it. Throws `UsageError`, or `FailedError` where the host refuses a forward. */
  openGateway(newGateway: NewGateway, options: GatewayOptions | string, number: number): () => void {
    const { fabric, network } = this;
    const { directory } = this.options;
    // A file has one writer: the first gateway of the network.
    const leasesPath = directory === undefined || this.gateways_.size > 0 ? undefined : `${directory}/leases.json`;
    const gateway = newGateway(fabric, options, {
      number,
      leasesPath,
      portOf: (mac) => this.guestPortOf(mac),
      notify: (event, text) => this.notify({ event, network: network.name, port: number, text }),
    });
    this.gateways_.add(gateway);
    this.attach(gateway.port, number, { kind: 'slirp', description: gateway.describe(), pid: process.pid });
    gateway.announce();
    return () => {
      if (!this.gateways_.delete(gateway)) return;
      gateway.close();
      this.detach(gateway.port);
    };
  }

  /** A program of `weft run` is alone at its port; behind others there may be networks. */
  private guestPortOf(mac: number): number {
    const port = this.switch?.fdb.find(mac, 0, this.fabric.nowUs())?.port ?? -1;
    const ends = this.network.ends[port] ?? [];
    return ends.length > 0 && ends.every(({ info }) => info.pid !== undefined && ALONE.has(info.kind)) ? port : -1;
  }

  // PortRoom.

  reserve(wanted: number, _uid: number): number | string {
    const { network } = this;
    if (wanted === ANY_PORT) {
      for (let number = network.portsMax === 2 ? 0 : 1; number < network.portsMax; number++) {
        if (network.isFree(number) && !this.reserved.has(number)) return number;
      }
      return `all ${network.portsMax - 1} ports are taken`;
    }
    if (wanted >= network.portsMax) return `port ${wanted} is out of range; take 0 … ${network.portsMax - 1}`;
    return wanted; // several plugs may share a number
  }

  refuse(): void {
    this.network.refused++;
  }

  attach(port: Port, number: number, info: PortInfo): void {
    this.fabric.attach(port, this.network, number, info);
    // Whoever is at the other end of a cable may be a network that was there before, or was not.
    if (this.options.kind === 'cable' && info.kind !== 'slirp') for (const one of this.gateways_) one.announce();
    this.notify({
      event: 'port-up',
      network: this.network.name,
      port: number,
      text: `${info.kind} ${info.description}`,
    });
  }

  /** Of the first gateway that has any. */
  lease(mac: Uint8Array, name: string, had: readonly string[] = []): JoinLease | string | undefined {
    for (const gateway of this.gateways) {
      const lease = gateway.lease(mac, name, had);
      if (lease !== undefined) return lease;
    }
    return undefined;
  }

  detach(port: Port): void {
    const attachment = this.fabric.attachmentOf(port);
    if (!attachment) return;
    this.fabric.detach(port);
    this.notify({ event: 'port-down', network: this.network.name, port: attachment.number });
  }

  /** Keeps a number for a plug that comes and goes. */
  keep(number: number): void {
    this.reserved.add(number);
  }

  unkeep(number: number): void {
    this.reserved.delete(number);
  }

  onClose(close: () => void): void {
    this.closers.push(close);
  }

  close(): void {
    for (const close of this.closers.splice(0).reverse()) close();
    for (const attachment of [...this.network.attachments()]) this.fabric.detach(attachment.port);
    this.fabric.networks.delete(this.network.name);
  }

  private openOwnGateway(options: GatewayOptions | string, newGateway: NewGateway | undefined): void {
    assert(newGateway !== undefined, 'a network with a gateway is opened where there are gateways');
    try {
      const number = this.options.kind === 'cable' ? CABLE_FAR_END : MANAGEMENT_PORT;
      this.onClose(this.openGateway(newGateway, options, number));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Says once that stations find no room, and again only after there was room for a while. */
  private watchTable({ fdb }: Switch): void {
    const { fabric } = this;
    let timer = 0;
    let before = fdb.tableFull;
    let wasFull = false;
    const look = (): void => {
      const isFull = fdb.tableFull > before;
      before = fdb.tableFull;
      if (isFull && !wasFull) {
        const text = `${fdb.entriesMax} stations: frames to others are flooded; raise --stations`;
        this.notify({ event: 'table-full', network: this.network.name, text });
      }
      wasFull = isFull;
      timer = fabric.at(fabric.nowUs() + LOOK_US, look);
    };
    look();
    this.onClose(() => fabric.cancel(timer));
  }

  private serve(directory: string): void {
    const { fabric, options } = this;
    const { mode, gid } = options;
    prepareDirectory(directory, options.dirMode, gid);
    this.onClose(() => tryTo(() => rmdirSync(directory))); // the last thing that is done
    if (options.isPrivate) return;
    if (!fabric.isNative) return; // others join by plugs of Node's loop
    try {
      const connectionsMax = CONNECTIONS_MAX;
      const vde = openVdeDoor(fabric, fabric.sockets, this, { directory, mode, gid, connectionsMax });
      this.onClose(() => vde.close());
      const stream = this.listenStream(directory);
      this.onClose(() => stream.close());
      const join = openJoinDoor(fabric, fabric.sockets, this, { directory, mode, gid });
      this.onClose(() => join.close());
      this.writePid(`${directory}/pid`);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  private listenStream(directory: string): UnixListener {
    const { fabric, options } = this;
    return new UnixListener(fabric, fabric.sockets, {
      path: `${directory}/stream`,
      type: SOCK_STREAM,
      mode: options.mode,
      gid: options.gid,
      onConnection: (fd, peer) => {
        const number = this.reserve(ANY_PORT, peer.uid);
        if (typeof number === 'string') {
          this.refuse();
          fabric.sockets.close(fd);
          return;
        }
        const { rng } = this;
        const onDead = (): void => this.detach(port);
        const settings = { rng, isPlain: false, queueBytesMax: BACKLOG_BYTES_MAX, onDead };
        const port = streamPort(fabric, fabric.sockets, fd, settings);
        this.attach(port, number, { kind: 'stream', description: `pid ${peer.pid}`, uid: peer.uid, pid: peer.pid });
        port.start();
      },
    });
  }

  private writePid(path: string): void {
    try {
      writeFileSync(path, `${process.pid}\n`, { mode: 0o600 });
    } catch (error) {
      throw new UsageError(`${path}: cannot be written (${(error as NodeJS.ErrnoException).code})`);
    }
    this.onClose(() => tryTo(() => unlinkSync(path)));
  }
}

/** For clean-up: a directory that is not empty stays, a file that is gone is gone. */
function tryTo(act: () => void): void {
  try {
    act();
  } catch {
    // Somebody else's file is in the directory, or it was removed under us.
  }
}
