// Plugs that need Node's own event loop, for networks that live on the fabric thread: a cable on this thread, whose other
// end is a stream cable to that one.

import { DropCounters } from '../core/drop.ts';
import type { Port } from '../core/port.ts';
import { ANY_PORT, type PortInfo, parseVnl } from '../plug/plug.ts';
import { StreamPort } from '../plug/stream-port.io.ts';
import { SysError } from '../sys/libc.io.ts';
import type { EngineEvent } from './engine.io.ts';
import { Fabric } from './fabric.io.ts';
import { Cable, Network } from './network.ts';
import { openNodePlugIn } from './node-plugs.io.ts';

const FIRST_ID = 1_000_000; // never one of the fabric thread's
const BUFFER_BYTES = 1 << 20;

/** Gives the fabric thread an end of a stream cable; resolves to the port's number. */
type Hand = (network: string, fd: number, wanted: number, info: PortInfo) => Promise<number>;

interface Relay {
  id: number;
  vnl: string;
  network: string;
  port: number;
  /** What has the plug's own number; a listener's further peers have others. */
  first: Port | undefined;
  state: () => string;
  /** Its ends on this thread: they know what was lost on the way to the host. */
  ports: Set<Port>;
  close: () => void;
}

/** All of them share one fabric on this thread's loop. */
export class Relays {
  private readonly fabric: Fabric;
  private readonly hand: Hand;
  private readonly notify: (event: EngineEvent) => void;
  private readonly relays = new Map<number, Relay>();
  private nextId = FIRST_ID;

  constructor(hand: Hand, notify: (event: EngineEvent) => void) {
    this.hand = hand;
    this.notify = notify;
    this.fabric = new Fabric({ tell: (text) => notify({ event: 'plug', network: '', text }) });
    this.fabric.runOnLoop();
  }

  /** Opens a plug; resolves to its id. Rejects with `UsageError`. */
  async open(network: string, text: string, wanted: number | undefined): Promise<number> {
    const relay: Relay = {
      id: this.nextId++,
      vnl: text,
      network,
      port: wanted ?? ANY_PORT,
      first: undefined,
      state: () => 'opening',
      ports: new Set(),
      close: () => {},
    };
    const cables = new Map<Port, { far: StreamPort; network: Network }>();
    const close = await openNodePlugIn(parseVnl(text), this.fabric, {
      attach: (port, info) => {
        try {
          cables.set(port, this.join(relay, port, info));
          relay.ports.add(port);
        } catch (error) {
          if (!(error instanceof SysError)) throw error;
          const { message } = error; // no descriptor or no memory left
          relay.state = () => message;
          port.close();
        }
      },
      detach: (port) => {
        if (relay.first === port) relay.first = undefined;
        const cable = cables.get(port);
        cables.delete(port);
        relay.ports.delete(port);
        if (cable) this.fabric.detach(cable.far);
        this.fabric.detach(port);
      },
      state: (news, live = () => news) => {
        relay.state = live;
        this.notify({ event: 'plug', network, text: news });
      },
    });
    relay.close = () => {
      for (const [port, { far }] of cables) {
        this.fabric.detach(far);
        this.fabric.detach(port);
      }
      close();
    };
    this.relays.set(relay.id, relay);
    return relay.id;
  }

  list(): object[] {
    return [...this.relays.values()].map(({ id, vnl, network, port, state, ports }) => {
      const drops = new DropCounters();
      for (const { counters } of ports) for (const [why, n] of counters.drops.counts.entries()) drops.counts[why]! += n;
      return { id, vnl, network, port: port === ANY_PORT ? null : port, state: state(), drops: drops.byName() };
    });
  }

  /** False if the id is not one of these. */
  close(id: number): boolean {
    const relay = this.relays.get(id);
    this.relays.delete(id);
    relay?.close();
    return relay !== undefined;
  }

  closeAll(): void {
    for (const id of [...this.relays.keys()]) this.close(id);
    this.fabric.stop();
  }

  private join(relay: Relay, port: Port, info: PortInfo): { far: StreamPort; network: Network } {
    const { fabric } = this;
    const [ours, theirs] = fabric.sockets.pair();
    fabric.sockets.setBuffers(ours, BUFFER_BYTES);
    fabric.sockets.setBuffers(theirs, BUFFER_BYTES);
    const network = new Network(relay.vnl, new Cable(), { portsMax: 2 });
    const far: StreamPort = new StreamPort(fabric, ours, () => fabric.detach(far), { rich: true });
    fabric.attach(port, network, 0, info);
    fabric.attach(far, network, 1, { kind: 'relay', description: relay.network });
    far.start();
    const isFirst = relay.first === undefined;
    relay.first ??= port;
    this.hand(relay.network, theirs, isFirst ? relay.port : ANY_PORT, info).then(
      (number) => {
        if (isFirst) relay.port = number;
      },
      (error: Error) => {
        relay.state = () => error.message;
        fabric.sockets.close(theirs);
        fabric.detach(port); // its peer must not believe that it is in the network
      },
    );
    return { far, network };
  }
}
