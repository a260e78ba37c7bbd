// One thread's networks and plugs, and the commands that work on them.

import { randomBytes } from 'node:crypto';
import { assert, UsageError } from '../core/assert.ts';
import type { Port } from '../core/port.ts';
import { Rng } from '../core/rng.ts';
import { NativePlugs } from '../plug/native-plugs.io.ts';
import { ANY_PORT, intOption, modeOption, type PortInfo, parseVnl, type Vnl } from '../plug/plug.ts';
import { StreamPort } from '../plug/stream-port.io.ts';
import type { Switch } from '../switch/switch.ts';
import { groupNumber } from '../sys/group.io.ts';
import { whyNoNative } from '../sys/libc.io.ts';
import { execute } from './commands.ts';
import type { Fabric } from './fabric.io.ts';
import type { NewGateway } from './gateway-host.io.ts';
import type { Attachment, Network } from './network.ts';
import { type NetworkOptions, NetworkService, type Notify } from './network-service.io.ts';
import type { NodeView, PlugView } from './node-view.ts';
import { patch } from './patch.ts';
import { VERSION } from './version.ts';

const PATCH_PORTS = 32; // of a switch:// or hub://, as vde_switch has
const NATIVE_SCHEMES: ReadonlySet<string> = new Set(['vde', 'tap', 'ptp', 'seqpacket']);

/** A plug that is open: how it is called, where it is, how it ends. */
interface OpenPlug {
  id: number;
  vnl: string;
  network: string;
  port: number;
  state: () => string;
  close: () => void;
}

/** What a plug tells the network it was opened into. */
export interface PlugSlot {
  /** Puts a port in the plug's place; listeners make many, each of which gets a number of its own. */
  attach(port: Port, info: PortInfo): void;
  detach(port: Port): void;
  /** News for those who watch; listings show what `live` says when they are asked for, else the last news. */
  state(text: string, live?: () => string): void;
}

/** Opens plugs that live on Node's own loop; resolves to how to close it. */
export type OpenNodePlug = (vnl: Vnl, fabric: Fabric, slot: PlugSlot) => Promise<() => void>;

export interface FabricNodeOptions {
  notify: Notify;
  shutdown: () => void;
  openNodePlug?: OpenNodePlug | undefined;
  /** How gateways are made, where that was loaded already: networks that have one need it. */
  newGateway?: NewGateway | undefined;
  /** Loads it, on threads whose loop does not block. */
  loadGateways?: (() => Promise<NewGateway>) | undefined;
}

/** Everything that one thread serves. */
export class FabricNode {
  readonly fabric: Fabric;
  private readonly services = new Map<string, NetworkService>();
  private readonly open_ = new Map<number, OpenPlug>();
  private readonly options: FabricNodeOptions;
  private readonly native: NativePlugs | undefined;
  private readonly startedUs: number;
  private readonly rng: Rng;
  private nextPlug = 1;

  constructor(fabric: Fabric, options: FabricNodeOptions) {
    this.fabric = fabric;
    this.options = options;
    this.startedUs = fabric.nowUs();
    this.rng = new Rng(randomBytes(4).readUInt32LE(0));
    if (fabric.isNative) this.native = new NativePlugs(fabric, fabric.sockets, this.rng);
  }

  /** Brings up a network. Throws `UsageError`. */
  openNetwork(options: NetworkOptions): NetworkService {
    if (this.services.has(options.name)) throw new UsageError(`network '${options.name}' is there twice; rename one`);
    const { notify, newGateway } = this.options;
    const service = new NetworkService(this.fabric, options, notify, this.rng.u32(), newGateway);
    this.services.set(options.name, service);
    return service;
  }

  /**
   * Opens a plug into a network; its id, or a promise of it for plugs of Node's loop. Throws `UsageError` for what can never
   * work; the rest is tried again.
   */
  openPlug(networkName: string, text: string, wanted: number | undefined): number | Promise<number> {
    const service = this.service(networkName);
    const vnl = parseVnl(text);
    const number = service.reserve(wanted ?? ANY_PORT, process.geteuid!());
    if (typeof number === 'string') throw new UsageError(number);
    const id = this.nextPlug++;
    const plug: OpenPlug = {
      id,
      vnl: text,
      network: networkName,
      port: number,
      state: () => 'opening',
      close: () => {},
    };
    service.keep(number);
    const opened = (close: () => void): number => {
      plug.close = close;
      this.open_.set(id, plug);
      return id;
    };
    const failed = (error: unknown): never => {
      service.unkeep(number);
      throw error;
    };
    try {
      const close = this.openScheme(vnl, service, plug);
      return close instanceof Promise ? close.then(opened, failed) : opened(close);
    } catch (error) {
      return failed(error);
    }
  }

  closePlug(id: number): void {
    const plug = this.open_.get(id);
    if (!plug) throw new UsageError(`plug ${id} is not open; see plug/list`);
    this.open_.delete(id);
    plug.close();
    this.services.get(plug.network)?.unkeep(plug.port);
  }

  /** A port on a descriptor that another thread of ours made: frames with offload headers. Returns its number. */
  attachRelay(networkName: string, fd: number, wanted: number, info: PortInfo): number {
    const service = this.service(networkName);
    const number = service.reserve(wanted, process.geteuid!());
    if (typeof number === 'string') throw new UsageError(number);
    const port: StreamPort = new StreamPort(this.fabric, fd, () => service.detach(port), { rich: true });
    service.attach(port, number, info);
    port.start();
    return number;
  }

  /** Runs a command given as words. Throws `UsageError`. */
  execute(networkName: string | undefined, words: readonly string[]): unknown {
    return execute(this.view(networkName), words);
  }

  networkNames(): string[] {
    return [...this.services.keys()];
  }

  close(): void {
    for (const plug of this.open_.values()) plug.close();
    this.open_.clear();
    for (const service of this.services.values()) service.close();
    this.services.clear();
    this.fabric.turn(0); // closes the ports that left
  }

  private openScheme(vnl: Vnl, service: NetworkService, plug: OpenPlug): (() => void) | Promise<() => void> {
    const slot = this.slotOf(service, plug);
    if (vnl.scheme === 'switch' || vnl.scheme === 'hub') return this.openPatch(vnl, service, plug);
    if (vnl.scheme === 'slirp') return this.openGateway(vnl, service, plug);
    const native = this.native?.open(vnl, slot);
    if (native) return native;
    const why = whyNoNative();
    if (why && NATIVE_SCHEMES.has(vnl.scheme)) throw new UsageError(`${vnl.scheme}: needs system calls, but ${why}`);
    if (this.options.openNodePlug) return this.options.openNodePlug(vnl, this.fabric, slot);
    throw new UsageError(`${vnl.scheme}:// cannot be opened on the fabric thread`);
  }

  private slotOf(service: NetworkService, plug: OpenPlug): PlugSlot {
    let first: Port | undefined;
    return {
      attach: (port, info) => {
        const number = first === undefined ? plug.port : service.reserve(ANY_PORT, info.uid ?? process.geteuid!());
        if (typeof number === 'string') {
          plug.state = () => number;
          port.close();
          return;
        }
        first ??= port;
        service.attach(port, number, info);
      },
      detach: (port) => {
        if (first === port) first = undefined;
        service.detach(port);
      },
      state: (text, live = () => text) => {
        plug.state = live;
        this.options.notify({ event: 'plug', network: plug.network, port: plug.port, text });
      },
    };
  }

  private openGateway(vnl: Vnl, service: NetworkService, plug: OpenPlug): (() => void) | Promise<() => void> {
    const { newGateway, loadGateways } = this.options;
    const open = (make: NewGateway): (() => void) => service.openGateway(make, vnl.options, plug.port);
    plug.state = () => 'up';
    if (newGateway) return open(newGateway);
    assert(loadGateways !== undefined, 'gateways are loaded before a plug asks for one');
    return loadGateways().then(open);
  }

  /** `switch://DIR`: another network in this node, joined by a patch cable. */
  private openPatch(vnl: Vnl, service: NetworkService, plug: OpenPlug): () => void {
    const group = vnl.options.get('group');
    const other = this.openNetwork({
      name: vnl.address,
      directory: vnl.address,
      kind: vnl.scheme === 'hub' ? 'hub' : 'switch',
      ports: intOption(vnl, 'ports', PATCH_PORTS),
      mode: modeOption(vnl, 'mode', 0o600),
      dirMode: modeOption(vnl, 'dirmode', 0o700),
      gid: group === undefined ? undefined : groupNumber(group),
      stationsMax: vnl.options.has('hashsize') ? intOption(vnl, 'hashsize', 0) : undefined,
      ageSeconds: vnl.options.has('expiretime') ? intOption(vnl, 'expiretime', 0) : undefined,
    });
    const [here, there] = patch(this.fabric.breath);
    const number = other.reserve(ANY_PORT, 0);
    if (typeof number === 'string') throw new UsageError(number);
    here.peer = this.fabric.attach(there, other.network, number, { kind: 'patch', description: plug.network });
    there.peer = this.fabric.attach(here, service.network, plug.port, { kind: 'patch', description: vnl.address });
    plug.state = () => 'up';
    return () => {
      this.fabric.detach(here);
      other.close();
      this.services.delete(vnl.address);
    };
  }

  private service(name: string | undefined): NetworkService {
    const found = name === undefined ? [...this.services.values()][0] : this.services.get(name);
    if (!found) throw new UsageError(`network '${name}' is not here; there are: ${this.networkNames().join(', ')}`);
    return found;
  }

  private view(networkName: string | undefined): NodeView {
    const service = this.service(networkName);
    const { services, fabric } = this;
    return {
      network: service.network,
      get switch(): Switch {
        if (!service.switch) throw new UsageError(`network '${service.options.name}' is a cable, not a switch`);
        return service.switch;
      },
      networks: [...services.values()].map((s) => s.network),
      gateways: service.gateways,
      gatewaysOf: (network: Network) => services.get(network.name)?.gateways ?? [],
      pid: process.pid,
      version: VERSION,
      startedUs: this.startedUs,
      nowUs: () => fabric.nowUs(),
      directoryOf: (network: Network) => services.get(network.name)?.options.directory,
      plugs: (): PlugView[] => [...this.open_.values()].map(viewOf),
      addPlug: (vnl, port) => {
        const id = this.openPlug(service.options.name, vnl, port);
        return id instanceof Promise ? id.then((value) => ({ id: value })) : { id };
      },
      removePlug: (id) => this.closePlug(id),
      disconnect: (attachment: Attachment) => service.detach(attachment.port),
      shutdown: () => this.options.shutdown(),
    };
  }
}

const viewOf = ({ close: _, state, ...view }: OpenPlug): PlugView => ({ ...view, state: state() });
