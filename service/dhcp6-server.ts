import type { DhcpParts } from './dhcp-parts.ts';
import type { Settings6 } from './dhcp-settings.ts';

/** The DHCPv6 server of an interface. Throws `UsageError` if its port is taken. */
export class Dhcp6Server {
  readonly handle: number;
  private readonly parts: DhcpParts;
  private readonly settings: Settings6;

  constructor(parts: DhcpParts, settings: Settings6) {
    this.parts = parts;
    this.settings = settings;
    this.handle = -1;
  }

  /** Events of its socket: takes all that waits. */
  changed(_h: number): void {}

  close(): void {
    this.parts.stack.sockets.close(this.handle);
    void this.settings;
  }
}
