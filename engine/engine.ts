// Theory of operation.
//
// An engine is one running node: networks, what is attached to them, and the commands that change them.
//
//   cli ──words──▶ Engine (engine.io.ts, main thread) ──messages + eventfd──▶ FabricNode (fabric-node.io.ts, fabric thread)
//                    │ control.io.ts   DIR/control, JSON lines                  │ network-service.io.ts  DIR/ctl stream join
//                    │ relays.io.ts    plugs of Node's own loop                 │ commands.ts            one table
//                    └ metrics-server.io.ts                                     └ Fabric (fabric.io.ts)  epoll, timers, breath
//
// The fabric thread blocks in epoll. Each turn it reads the clock once, lets every ready port take one turn of the breath
// (breath.ts: receive a burst, ask the network's switch for each frame, queue, flush), then runs what is due. Frames never
// cross threads: TAPs, VDE and stream cables are descriptors of that thread. Plugs that need Node's event loop (WebSocket,
// TLS, child processes) live on the main thread in a fabric of their own and join by a stream cable with offload headers.
// Without koffi there is no fabric thread: one Fabric on the main thread's loop serves stream, WebSocket and UDP plugs.
//
// A gateway (gateway-host.io.ts) is a port like any other, on number 0 of its network: a stack, the flows of slirp/ on the host's
// sockets in the same epoll, DHCP, names and advertisements. Its code is loaded where there is one: at the start of the thread,
// or when a plug asks for it, for which the thread's loop ends for a moment. Commands see it in words (gateway-view.ts).
//
// Pure: breath.ts, network.ts, patch.ts, commands.ts, report.ts, lab.ts, gateway-*.ts, dns-*.ts. The world: *.io.ts.
//
// State: each Network keeps its attachments, its Switch the stations and VLANs, each port its counters. Bounds: ports per
// network, connections per socket, characters per control line, clients per control socket, bytes per port's queue.
//
// Who wins when a port is full: breath.ts. Who may join: plug/unix-listener.io.ts and plug/vde-server.io.ts.

export { VERSION } from './version.ts';
