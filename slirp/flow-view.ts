// Connections for people and programs.

import { US_PER_S } from '../core/time.ts';
import { type Address, formatAddress, SocketName } from '../stack/stack.ts';
import { type ConnectionTable, FlowFlag, FlowState } from './connection-table.ts';
import type { FlowParts, FlowView } from './parts.ts';

/** `10.0.2.15:4321`, `[fd00::15]:4321`. */
export function endpointText(address: Address, port: number): string {
  const text = formatAddress(address);
  return text.includes(':') ? `[${text}]:${port}` : `${text}:${port}`;
}

/** Made when somebody asks. */
export class FlowViews {
  private readonly parts: FlowParts;
  private readonly flows: ConnectionTable;
  private readonly address: Address = new Int32Array(4);
  private readonly name = new SocketName();

  constructor(parts: FlowParts, flows: ConnectionTable) {
    this.parts = parts;
    this.flows = flows;
  }

  /** Those that guests opened, or those that were opened from outside. */
  *of(direction: 'out' | 'in'): Iterable<FlowView> {
    const { flows } = this;
    for (let f = 0; f < flows.end; f++) {
      if (flows.col.state[f] === FlowState.Free) continue;
      if (flows.has(f, FlowFlag.Inbound) === (direction === 'in')) yield this.view(f, direction);
    }
  }

  private view(f: number, direction: 'out' | 'in'): FlowView {
    const { flows, address } = this;
    const { col } = flows;
    const { nowUs } = this.parts.stack.shared;
    flows.guestInto(f, address);
    const guest = endpointText(address, col.guestPort[f]!);
    flows.otherInto(f, address);
    const isClientUnix = flows.has(f, FlowFlag.Unix) && direction === 'in';
    return {
      protocol: 'tcp',
      guest,
      target: isClientUnix ? 'unix' : endpointText(address, col.otherPort[f]!),
      host: this.hostText(f),
      direction,
      state: this.stateText(f),
      bytesOut: col.bytesOut[f]!,
      bytesIn: col.bytesIn[f]!,
      ageSeconds: Math.floor((nowUs - col.openedUs[f]!) / US_PER_S),
      idleSeconds: Math.floor((nowUs - col.usedUs[f]!) / US_PER_S),
    };
  }

  private hostText(f: number): string {
    if (this.flows.has(f, FlowFlag.Unix)) return 'unix';
    const hh = this.flows.col.hostHandle[f]!;
    return hh >= 0 && this.parts.host.local(hh, this.name) === 0 ? endpointText(this.name.address, this.name.port) : '';
  }

  private stateText(f: number): string {
    const state = this.flows.col.state[f]!;
    if (state === FlowState.HostConnecting || state === FlowState.GuestConnecting) return 'connecting';
    if (state !== FlowState.Open) return 'closing';
    if (this.flows.has(f, FlowFlag.GuestEnded)) return 'guest-closed';
    return this.flows.has(f, FlowFlag.HostEnded) ? 'host-closed' : 'open';
  }
}
