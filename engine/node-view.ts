// A running node as commands see it.

import type { Switch } from '../switch/switch.ts';
import type { GatewayView } from './gateway-view.ts';
import type { Attachment, Network } from './network.ts';

/** A plug that the node opened itself. */
export interface PlugView {
  readonly id: number;
  readonly vnl: string;
  readonly network: string;
  readonly port: number;
  readonly state: string;
}

/** Given to a command's handler: the node, and the network that the command is about. */
export interface NodeView {
  readonly network: Network;
  /** Throws `UsageError` where the network is a cable. */
  readonly switch: Switch;
  readonly networks: Iterable<Network>;
  /** Of the network that the command is about. */
  readonly gateways: readonly GatewayView[];
  gatewaysOf(network: Network): readonly GatewayView[];
  readonly pid: number;
  readonly version: string;
  readonly startedUs: number;
  nowUs(): number;
  directoryOf(network: Network): string | undefined;
  plugs(): PlugView[];
  addPlug(vnl: string, port: number | undefined): unknown;
  removePlug(id: number): unknown;
  disconnect(attachment: Attachment): void;
  shutdown(): void;
}
