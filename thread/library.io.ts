// What programs get of this room as `weft/net`.

export {
  Errno,
  Family,
  How,
  MessageFlag,
  Ready,
  SocketError,
  SocketOption,
  SocketType,
  type Stack,
  TcpOption,
} from '../stack/stack.ts';
export { createDgram, type Dgram } from './dgram.io.ts';
export { createDns, type Dns } from './dns.io.ts';
export { MultiSocket, msocket, type Received, type SocketEnd } from './msocket.io.ts';
export { createNet, type Net } from './net.io.ts';
export type { StackContext } from './place.io.ts';
export { type NodeApi, nodeApi, runEverywhere, runOutside } from './run.io.ts';
