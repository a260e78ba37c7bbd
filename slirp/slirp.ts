// Theory of operation.
//
// A gateway joins a network to the host that it runs on, without privilege: to the guests it is a router, to the host a
// program with sockets.
//
//   frames ─▶ a stack of ours whose interface accepts any address ─┬ TCP   withheld connections ─▶ TcpFlows ─┐
//                                                                 ├ UDP   intercepted datagrams ─▶ UdpFlows ─┼─▶ HostSockets
//                                                                 └ echo  intercepted requests ──▶ EchoFlows ┘
//
// Everything but `*.io.ts` is pure: flows ask `HostSockets` (host-sockets.ts), which is granted: by system calls in the
// fabric's own epoll, so that bytes go between a connection's ring in the slab and the host's socket without another copy; by
// Node's own sockets where there are no system calls; by a simulated host in tests.

export { CAPS, type CapsOptions, FlowCaps } from './caps.ts';
export { BATCH_DATAGRAMS, DatagramBatch } from './datagram-batch.ts';
export { endpointText } from './flow-view.ts';
export { type ForwardSpec, formatForward, forwardOfJson, parseForward } from './forward-spec.ts';
export type { ForwardView } from './forwards.ts';
export { Gateway, type GatewayOptions } from './gateway.ts';
export {
  type GatewayNetwork,
  type GatewayPrefix,
  gatewayNetworkOf,
  isInNetwork,
  parseGatewayNetwork,
} from './gateway-network.ts';
export {
  advertise,
  GATEWAY_LIMITS,
  type GatewayStack,
  type GatewayStackOptions,
  newGatewayStack,
} from './gateway-stack.ts';
export { HostError, HostReady, type HostSockets, type HostUser } from './host-sockets.ts';
export { type Caps, type FlowParts, type FlowView, Protocol, SlirpCounters, type Targets, Verdict } from './parts.ts';
export { Relay, type RelayOptions } from './relay.ts';
export { formatRule, type Group, parsePrefix, parseRule, type Rule } from './rule.ts';
export { type HostPlaces, Rules } from './rules.ts';
export {
  type StreamForward,
  StreamForwards,
  type StreamForwardsOptions,
  type StreamForwardView,
} from './stream-forwards.ts';
export { GatewayTargets, NAT64_WELL_KNOWN, type Nat64Prefix, parseNat64 } from './targets.ts';
export { TcpFlows } from './tcp-flows.ts';
export type { UdpFiltering } from './udp-flows.ts';
