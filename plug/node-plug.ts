// The shape of a plug that lives on Node's own event loop.

import type { Port } from '../core/port.ts';

/** What the owner of a plug wants to know. Never called from within a port's own methods. */
export interface NodePlugHooks {
  /** A port is there: at once for a client (whose port survives reconnections), for a listener one per peer. */
  onPort(port: Port): void;
  /** The port will bring no more frames; the plug has closed it. Not called for what the owner closes himself. */
  onPortClosed(port: Port): void;
  /** A listener turned somebody away, or lost him before there was a port; one line. */
  onRefused?(why: string): void;
}

/** An open plug. Its owner closes it, not its ports. */
export interface NodePlug {
  /** One line: what it is, where it listens or whom it is connected to. */
  describe(): string;
  /** Ends everything: listener, connections, children, ports. */
  close(): void;
}
