// A network as the breath sees it: somebody who decides, and what is attached at each of its port numbers.

import type { Drop } from '../core/drop.ts';
import { Drop as D } from '../core/drop.ts';
import type { Port } from '../core/port.ts';
import type { PortInfo } from '../plug/plug.ts';

/** Decides where a frame goes; see switch/switch.ts, whose `Switch` is one. A cable is another. */
export interface Forwarder {
  readonly egress: Int32Array;
  readonly egressTag: Int32Array;
  readonly lastDrop: Drop;
  readonly isFlood: boolean;
  forward(view: DataView, at: number, length: number, ingress: number, nowUs: number): number;
  portUp(port: number, nowUs: number): void;
  portDown(port: number): void;
}

/** A port in its place. Several may share a number: each then gets what the number gets, and none hears the others. */
export class Attachment {
  readonly port: Port;
  readonly network: Network;
  readonly number: number;
  readonly info: PortInfo;
  readonly id: number;
  /** Frames wait for this breath's flush. */
  isDirty = false;
  /** Its turn of the breath is due. */
  isReady = false;
  /** Whose frames they are, floods excepted: those are worth waiting for. Further ones stand in `moreFeeders`. */
  feeder: Attachment | undefined;
  readonly moreFeeders: Attachment[] = [];
  /** It did not drain in time: its frames are dropped at once until it does. */
  isCongested = false;
  /** Those whose reading is paused until this one drains, or `holdUntilUs`. */
  readonly waiting: Attachment[] = [];
  holdUntilUs = Infinity;
  /** How many ports this one is waiting for. */
  pauses = 0;
  isGone = false;

  constructor(port: Port, network: Network, number: number, info: PortInfo, id: number) {
    this.port = port;
    this.network = network;
    this.number = number;
    this.info = info;
    this.id = id;
  }
}

/** The ports of one forwarder. Numbers are 0 … portsMax - 1. */
export class Network {
  readonly name: string;
  readonly forwarder: Forwarder;
  readonly portsMax: number;
  /** How many came for a port and left without one. */
  refused = 0;
  /** By port number; undefined or empty where nothing is attached. */
  readonly ends: (Attachment[] | undefined)[] = [];

  constructor(name: string, forwarder: Forwarder, { portsMax }: { portsMax: number }) {
    this.name = name;
    this.forwarder = forwarder;
    this.portsMax = portsMax;
  }

  isFree(number: number): boolean {
    return !this.ends[number]?.length;
  }

  /** The lowest free number from 1 on, as VDE gives them, or -1. */
  freeNumber(): number {
    for (let number = 1; number < this.portsMax; number++) if (this.isFree(number)) return number;
    return -1;
  }

  *attachments(): Generator<Attachment> {
    for (const ends of this.ends) if (ends) yield* ends;
  }

  add(attachment: Attachment, nowUs: number): void {
    const ends = this.ends[attachment.number];
    if (ends) ends.push(attachment);
    else this.ends[attachment.number] = [attachment];
    if (this.ends[attachment.number]!.length === 1) this.forwarder.portUp(attachment.number, nowUs);
  }

  remove(attachment: Attachment): void {
    const ends = this.ends[attachment.number];
    const i = ends?.indexOf(attachment) ?? -1;
    if (!ends || i < 0) return;
    ends.splice(i, 1);
    if (ends.length === 0) this.forwarder.portDown(attachment.number);
  }
}

/** Two ends and a wire: whatever comes in at 0 leaves at 1, and the other way round. */
export class Cable implements Forwarder {
  readonly egress = new Int32Array(1);
  readonly egressTag = new Int32Array(1).fill(-1);
  readonly isFlood = false;
  lastDrop: Drop = D.None;
  private readonly isUp = [false, false];

  forward(_view: DataView, _at: number, length: number, ingress: number): number {
    const other = 1 - ingress;
    this.lastDrop = length < 14 ? D.Runt : this.isUp[other] ? D.None : D.NoEgress;
    this.egress[0] = other;
    return this.lastDrop === D.None ? 1 : 0;
  }

  portUp(port: number): void {
    this.isUp[port] = true;
  }

  portDown(port: number): void {
    this.isUp[port] = false;
  }
}
