// One gateway: flows in both directions, forwards, rules and counters, on a stack made by gateway-stack.ts.

import { UsageError } from '../core/assert.ts';
import type { Address, NetworkInterface, Stack } from '../stack/stack.ts';
import type { CapsOptions } from './caps.ts';
import type { ForwardSpec } from './forward-spec.ts';
import type { GatewayNetwork } from './gateway-network.ts';
import type { HostSockets } from './host-sockets.ts';
import { type FlowView, SlirpCounters } from './parts.ts';
import type { Rule } from './rule.ts';
import type { HostPlaces } from './rules.ts';
import type { Nat64Prefix } from './targets.ts';

/** What a gateway is made of. */
export interface GatewayOptions {
  /** Both from `newGatewayStack`. */
  readonly stack: Stack;
  readonly iface: NetworkInterface;
  readonly network: GatewayNetwork;
  readonly host: HostSockets;
  /** In the order in which they are asked. */
  readonly rules?: readonly Rule[];
  /** Nothing leaves but what a rule allows. */
  readonly isRestricted?: boolean;
  /** What the host is: told anew by `setHost` when it changes. */
  readonly places?: HostPlaces;
  readonly caps?: Partial<CapsOptions>;
  /** Undefined: off. */
  readonly nat64?: Nat64Prefix;
  /** RFC 4787 §5: from whom datagrams reach a guest: anybody, addresses it sent to (the default), addresses and ports it sent to. */
  readonly filtering?: UdpFiltering;
  /** The host's address that flows leave by; undefined: the host chooses. */
  readonly outbound4?: Address;
  readonly outbound6?: Address;
}

export type UdpFiltering = 'endpoint' | 'address' | 'address-port';

/** A forward that stands. */
export interface ForwardView extends ForwardSpec {
  readonly id: number;
  /** As `parseForward` reads it; a port that was 0 is the one that was found. */
  readonly text: string;
  readonly connections: number;
}

/** The stack's user: `stack.addUser` is called by the constructor. */
export class Gateway {
  readonly counters = new SlirpCounters();
  readonly network: GatewayNetwork;

  /** Takes what comes in by `iface` for addresses of nobody. Throws `UsageError` for options that do not fit together. */
  constructor(options: GatewayOptions) {
    this.network = options.network;
  }

  /** Begins to forward. Throws `UsageError` if it makes no sense here, `FailedError` if the host refuses to listen. */
  addForward(spec: ForwardSpec): ForwardView {
    throw new UsageError(`forward: ${spec.port}`);
  }

  /** Ends one; its connections go on. Undefined if there is none of this number. */
  removeForward(_id: number): ForwardView | undefined {
    return undefined;
  }

  forwards(): ForwardView[] {
    return [];
  }

  /** All flows, or those of one guest. */
  flows(_guest?: Address): FlowView[] {
    return [];
  }

  /** The host's addresses and networks changed. */
  setHost(_places: HostPlaces): void {}

  turn(): void {}
  deadlineUs(): number {
    return 0;
  }
  expire(): void {}

  /** Ends all flows and forwards. The stack is closed by who made it, afterwards. */
  close(): void {}
}
