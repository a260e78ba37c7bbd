// The name servers that a forwarder asks, as it sees them: a number each, 0 first. Who grants them keeps the sockets.

/** Who is told what the servers say. */
export interface DnsUpstreamUser {
  /**
   * A message came from `server`, over TCP without its length; it is checked no further. The bytes are its user's until it
   * returns. Sending from within is allowed.
   */
  answered(server: number, bytes: Uint8Array, at: number, count: number, isTcp: boolean): void;
  /** What was sent to `server` and has no answer yet, by this transport, will have none: refused, unreachable, reset. */
  failed(server: number, isTcp: boolean): void;
}

/** Granted by the engine over the host's sockets; by a test otherwise. Nothing blocks and nothing throws. */
export interface DnsUpstream {
  /** How many there are now, 0 … `SERVERS_MAX`. Asked for every query that is forwarded. */
  servers(): number;
  /** Another number whenever the servers are others than before; after `servers()`. */
  readonly generation: number;
  /**
   * Sends the query to a server: it may wait for `flush`, and over TCP for a connection. The bytes are copied. False if it is not
   * taken: no socket, too much waits, no such server.
   */
  send(server: number, bytes: Uint8Array, at: number, count: number, isTcp: boolean): boolean;
  /** What was given to `send` is to leave now. */
  flush(): void;
  /** Who is told; one. */
  setUser(user: DnsUpstreamUser): void;
}

/** Servers that are used; the rest of a longer list is not. */
export const SERVERS_MAX = 8;
