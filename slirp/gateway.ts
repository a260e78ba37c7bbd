// One gateway: flows in both directions, forwards, rules and counters, on a stack made by gateway-stack.ts.
//
//   stack.poll ─▶ turn ─▶ host.dispatch ─▶ flows hear of their host's sockets, and what they send leaves in the same turn
//   frame ─▶ stack ─▶ claimed sockets ─▶ flows hear of their guests' sockets

import { UsageError } from '../core/assert.ts';
import { NEVER } from '../core/time.ts';
import {
  type Address,
  ANY_ADDRESS,
  ANY_ADDRESS4,
  isIp4,
  isLoopback,
  type NetworkInterface,
  type Stack,
  type StackUser,
  samePrefix,
} from '../stack/stack.ts';
import { type CapsOptions, capsOf, FlowCaps } from './caps.ts';
import { DatagramBatch } from './datagram-batch.ts';
import { DatagramForwards } from './datagram-forwards.ts';
import { EchoFlows } from './echo-flows.ts';
import { endpointText } from './flow-view.ts';
import type { ForwardSpec } from './forward-spec.ts';
import { FORWARDED_PORTS_MAX, Forwards, type ForwardView } from './forwards.ts';
import { type GatewayNetwork, prefixText } from './gateway-network.ts';
import type { HostSockets } from './host-sockets.ts';
import { type FlowParts, type FlowView, SlirpCounters } from './parts.ts';
import { Relay } from './relay.ts';
import type { Rule } from './rule.ts';
import { type HostPlaces, Rules } from './rules.ts';
import { StreamForwards } from './stream-forwards.ts';
import { GatewayTargets, type Nat64Prefix } from './targets.ts';
import { TcpFlows } from './tcp-flows.ts';
import { UDP, type UdpFiltering, UdpFlows } from './udp-flows.ts';

/** What a gateway is made of. */
export interface GatewayOptions {
  /** Both from `newGatewayStack`. */
  readonly stack: Stack;
  readonly iface: NetworkInterface;
  readonly network: GatewayNetwork;
  readonly host: HostSockets;
  /** In the order in which they are asked. */
  readonly rules?: readonly Rule[] | undefined;
  /** Nothing leaves but what a rule allows. */
  readonly isRestricted?: boolean | undefined;
  /** What the host is: told anew by `setHost` when it changes. */
  readonly places?: HostPlaces | undefined;
  readonly caps?: Partial<CapsOptions> | undefined;
  /** Undefined: off. */
  readonly nat64?: Nat64Prefix | undefined;
  /** RFC 4787 §5: from whom datagrams reach a guest: anybody, addresses it sent to (the default), addresses and ports it sent to. */
  readonly filtering?: UdpFiltering | undefined;
  /** The host's address that flows leave by; undefined: the host chooses. */
  readonly outbound4?: Address | undefined;
  readonly outbound6?: Address | undefined;
}

/** The stack's user: it gets its turns from the moment it is made. */
export class Gateway implements StackUser {
  readonly counters = new SlirpCounters();
  readonly network: GatewayNetwork;
  /** How many flows there are, of whom. */
  readonly caps: FlowCaps;
  private readonly stack: Stack;
  private readonly host: HostSockets;
  private readonly rules: Rules;
  private readonly batch: DatagramBatch;
  private readonly relay: Relay;
  private readonly tcp: TcpFlows;
  private readonly udp: UdpFlows;
  private readonly echo: EchoFlows;
  private readonly streams: StreamForwards;
  private readonly table: Forwards;
  private isClosed = false;

  /** Takes what comes in by `iface` for nobody else. Throws `UsageError` for options that do not fit together. */
  constructor(options: GatewayOptions) {
    const { stack, network, host } = options;
    this.stack = stack;
    this.network = network;
    this.host = host;
    const { rules, isRestricted, places } = options;
    this.rules = new Rules({ rules: rules ?? [], isRestricted: isRestricted ?? false, ...(places && { places }) });
    refuseFamily('outbound address', options.outbound4, true);
    refuseFamily('outbound address', options.outbound6, false);
    const { nat64, outbound4, outbound6 } = options;
    refuseOverlap(network, nat64);
    const targets = new GatewayTargets({ network, rules: this.rules, nat64, outbound4, outbound6 });
    const caps = capsOf(options.caps ?? {});
    this.caps = new FlowCaps(caps);
    this.batch = new DatagramBatch(stack.shared.slab);
    const { batch, counters } = this;
    const iface = options.iface.number;
    const parts: FlowParts = { stack, iface, host, targets, caps: this.caps, batch, counters };
    this.relay = new Relay(parts, { flowsMax: caps.tcpMax });
    this.tcp = new TcpFlows(parts, this.relay);
    const gateway4 = network.net4?.gateway ?? ANY_ADDRESS4;
    const gateway6 = network.net6?.gateway ?? ANY_ADDRESS;
    this.streams = new StreamForwards(parts, this.relay, { gateway4, gateway6, forwardsMax: FORWARDED_PORTS_MAX });
    this.udp = new UdpFlows(parts, {
      filtering: options.filtering ?? UDP.filtering,
      mappingsMax: caps.udpMax + FORWARDED_PORTS_MAX,
      isHost: (address) => !isLoopback(address) && this.rules.isHostOwn(address),
    });
    this.echo = new EchoFlows(parts, { mappingsMax: caps.echoMax });
    const datagrams = new DatagramForwards(parts, this.udp, (isIp6) => (isIp6 ? gateway6 : gateway4));
    this.table = new Forwards({ network, targets, streams: this.streams, datagrams });
    stack.addUser(this);
  }

  /** Begins to forward. Throws `UsageError` if it makes no sense here, `FailedError` if the host does not listen. */
  addForward(spec: ForwardSpec): ForwardView {
    return this.table.add(spec);
  }

  /** Ends one; its connections go on. Undefined if there is none of this number. */
  removeForward(id: number): ForwardView | undefined {
    return this.table.remove(id);
  }

  forwards(): ForwardView[] {
    return this.table.list();
  }

  /** All flows, or those of one guest. They are made as they are taken: nothing else may happen meanwhile. */
  *flows(guest?: Address): Iterable<FlowView> {
    const begin = guest && endpointText(guest, 0).slice(0, -1);
    for (const part of [this.tcp, this.streams, this.udp, this.echo]) {
      for (const flow of part.flows()) if (begin === undefined || flow.guest.startsWith(begin)) yield flow;
    }
  }

  /** The host's addresses and networks changed. Flows that stand go on. */
  setHost(places: HostPlaces): void {
    this.rules.setHost(places);
  }

  turn(): void {
    this.host.dispatch();
    this.relay.turn();
    this.streams.turn();
  }

  deadlineUs(): number {
    if (this.isClosed) return NEVER;
    const { relay, streams, udp, echo } = this;
    return Math.min(relay.deadlineUs(), streams.deadlineUs(), udp.deadlineUs(), echo.deadlineUs());
  }

  expire(): void {
    this.relay.expire();
    this.streams.expire();
    this.udp.expire();
    this.echo.expire();
  }

  /** Ends all flows and forwards: connections are reset. The stack is closed by who made it, afterwards. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.stack.removeUser(this);
    this.streams.close();
    this.tcp.close();
    this.relay.close();
    this.udp.close();
    this.echo.close();
    this.batch.close();
  }
}

/** An address would mean two places. */
function refuseOverlap({ net6 }: GatewayNetwork, nat64: Nat64Prefix | undefined): void {
  if (!net6 || !nat64 || !samePrefix(net6.address, nat64.address, Math.min(net6.bits, nat64.bits))) return;
  throw new UsageError(`nat64 ${prefixText(nat64)}: guests are in ${prefixText(net6)}; choose a prefix apart from it`);
}

function refuseFamily(what: string, address: Address | undefined, is4: boolean): void {
  if (address && isIp4(address) !== is4)
    throw new UsageError(`${what} of IPv${is4 ? 4 : 6}: expected one of that family`);
}
