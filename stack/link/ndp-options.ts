// The options of a neighbour discovery message: RFC 4861 §4.6, RFC 4191 §2.3, RFC 7527 §4.2, RFC 8106 §5.

import * as icmp6 from '../../wire/icmp6.ts';
import { NdpOption } from '../../wire/icmp6.ts';

/** Option types beyond those of `NdpOption`. */
export const NONCE = 14;
export const ROUTE_INFO = 24;

/** Bytes of an option that holds a hardware address of Ethernet. */
export const MAC_OPTION_BYTES = 8;
export const PREFIX_OPTION_BYTES = 32;
export const MTU_OPTION_BYTES = 8;
/** Bytes of a nonce of 6 bytes in its option. */
export const NONCE_OPTION_BYTES = 8;

/** Reads a message's options: where the first of each single kind is, 0 if there is none. One is reused for all. */
export class NdpOptions {
  sourceMac = 0; // of the 6 bytes
  targetMac = 0;
  mtu = 0; // the option itself
  nonce = 0;
  private view: DataView;
  private start = 0;
  private end = 0;

  constructor(view: DataView) {
    this.view = view;
  }

  /**
   * Looks through the options from `start` to `end`. False if one has length 0 or does not fit: then the message is
   * silently discarded (RFC 4861 §4.6, §6.1, §7.1, §8.1). Kinds that are not known are skipped.
   */
  scan(start: number, end: number): boolean {
    this.sourceMac = this.targetMac = this.mtu = this.nonce = 0;
    this.start = start;
    this.end = end;
    const { view } = this;
    let at = start;
    while (at < end) {
      if (icmp6.ndpOption(view, at, end) < 0) return false;
      const bytes = icmp6.ndpOptionBytes(view, at);
      this.note(at, bytes);
      at += bytes;
    }
    return true;
  }

  /** The first option of `kind` with at least `bytesMin` bytes, after `after` (0: from the start); 0 if there is none. */
  next(kind: number, after: number, bytesMin: number): number {
    const { view } = this;
    let at = after === 0 ? this.start : after + icmp6.ndpOptionBytes(view, after);
    while (at < this.end) {
      const bytes = icmp6.ndpOptionBytes(view, at);
      if (view.getUint8(at) === kind && bytes >= bytesMin) return at;
      at += bytes;
    }
    return 0;
  }

  private note(at: number, bytes: number): void {
    switch (this.view.getUint8(at)) {
      case NdpOption.SourceMac:
        if (bytes === MAC_OPTION_BYTES && this.sourceMac === 0) this.sourceMac = at + 2;
        break;
      case NdpOption.TargetMac:
        if (bytes === MAC_OPTION_BYTES && this.targetMac === 0) this.targetMac = at + 2;
        break;
      case NdpOption.Mtu:
        if (bytes === MTU_OPTION_BYTES && this.mtu === 0) this.mtu = at;
        break;
      case NONCE:
        if (this.nonce === 0) this.nonce = at;
        break;
    }
  }
}
