// Theory of operation.
//
// A plug is a way into a network. Its name is a VNL (vnl.ts: the grammar; schemes.ts: what each scheme takes). Opening one
// yields ports: a client has a single one, which survives reconnections; a listener has one per peer. A port (core/port.ts)
// is all that an engine sees.
//
//   VNL text --parseVnl--> Vnl --openNodePlug--> NodePlug --onPort--> Port <--receive/queue/flush-- engine
//                                                                      |
//                            byte-stream.io.ts  stream: tcp: tls: (32-bit lengths)  cmd: stdio: (16-bit lengths)
//                            message-port.io.ts ws: wss: udp:     (one message is one frame)
//
// Pure: the grammar, the framings (framing.ts), the negotiation between two wefts (cable-hello.ts), who may come in by
// WebSocket (websocket-door.ts), the back-off. The world: *.io.ts. Ports of this room that need no native code run on
// Node's loop and say `wake` when something arrived; the engine then breathes. Ports on system calls live beside them.
//
// Memory is bounded per port: a block of the slab for what arrives (then the peer is paused, or, where it cannot be, frames
// are dropped as NoMemory) and `queue=` bytes for what a slow peer has not taken (then TxFull). The engine
// counts what `receive` brought and the drops that `queue` returns; a port counts what the host took and what was lost
// besides. Between two wefts a stream carries rich records: an offload header before each frame
// and super-frames up to 64 KiB; only after both ends proved that nobody is between them, so no other peer sees one.
//
// Secure by default: listeners bind loopback or a socket of mode 0600, WebSockets need a token and check Host and Origin, TLS
// verifies. A peer's nonsense is a counted drop; a length out of range ends the connection, since nothing can be read after it.

export { formatHostPort, type HostPort, isLoopback, parseHostPort } from './address.ts';
export { CableHello, UNPROVEN } from './cable-hello.ts';
export type { PlugHost } from './host.ts';
export type { NativeHost, ReceiveArea, Watcher } from './native-host.ts';
export type { NodePlug, NodePlugHooks } from './node-plug.ts';
export { NullPort } from './null.ts';
export { checkOption } from './option.ts';
export { ANY_PORT, type JoinLease, type PortInfo, type PortRoom } from './port-room.ts';
export { SCHEMES, type Scheme } from './schemes.ts';
export {
  bytesOption,
  durationUsOption,
  formatVnl,
  intOption,
  isListener,
  modeOption,
  parseVnl,
  type Vnl,
} from './vnl.ts';
