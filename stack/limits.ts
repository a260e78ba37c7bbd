// Bounds of one stack, and what it may be told at its creation.

/** Every table of a stack has a bound here. */
export interface Limits {
  readonly interfacesMax: number;
  readonly addressesMax: number;
  readonly neighborsMax: number;
  readonly neighborPacketsMax: number; // that wait for one unresolved neighbour
  readonly routesMax: number;
  readonly pathsMax: number; // destination cache
  readonly prefixesMax: number;
  readonly routersMax: number; // default routers
  readonly groupsMax: number; // multicast memberships
  readonly reassembliesMax: number; // packets in pieces at a time
  readonly reassemblyBytesMax: number; // all pieces together
  readonly socketsMax: number;
  readonly connectionsMax: number; // TCP, TIME-WAIT not among them
  readonly halfOpenMax: number; // SYN-RECEIVED that take memory; beyond it SYN cookies answer
  readonly timeWaitMax: number;
  readonly sendBufferBytesMax: number; // a socket's, as SO_SNDBUF allows
  readonly receiveBufferBytesMax: number;
  readonly ringBytesMax: number; // the buffers of all connections together, small ones aside
  readonly outputBytesMax: number; // an interface's frames that were not fetched yet
  readonly outputFramesMax: number; // a power of two
}

/** A host that is small while it is idle: tables grow up to these. */
export const LIMITS: Limits = {
  interfacesMax: 16,
  addressesMax: 64,
  neighborsMax: 1024,
  neighborPacketsMax: 3,
  routesMax: 1024,
  pathsMax: 4096,
  prefixesMax: 64,
  routersMax: 16,
  groupsMax: 256,
  reassembliesMax: 64,
  reassemblyBytesMax: 1 << 20,
  socketsMax: 65536,
  connectionsMax: 65536,
  halfOpenMax: 4096,
  timeWaitMax: 16384,
  sendBufferBytesMax: 16 << 20, // more than 1 Gb/s for 100 ms
  receiveBufferBytesMax: 16 << 20,
  ringBytesMax: Number.POSITIVE_INFINITY, // as much as the slab has
  outputBytesMax: 512 << 10,
  outputFramesMax: 1024,
};
