// Sends what guests sent, by the host's sockets: consecutive datagrams of one mapping that look alike in one call.

import { Errno } from '../stack/stack.ts';
import { BATCH_DATAGRAMS, type DatagramBatch } from './datagram-batch.ts';
import type { FlowTable } from './flow-table.ts';
import { NO_ROW } from './flow-table.ts';
import type { FlowParts } from './parts.ts';

const ALIGN = 64;

/** Who sends. */
export interface SenderUser {
  /** The host may have errors of mapping `m`: what its own one says beside, the path's MTU or 0; -1 if there is none. */
  errors(m: number): number;
  /** A datagram to remote `r` was not taken; `info` of EMSGSIZE is the path's MTU, or 0. */
  failed(r: number, at: number, bytes: number, errno: number, info: number): void;
}

/** `room`, write there, `add`; at last `flush`. In between nobody else uses the batch. */
export class FlowSender {
  private readonly parts: FlowParts;
  private readonly batch: DatagramBatch;
  private readonly table: FlowTable;
  private readonly user: SenderUser;
  private readonly remotes = new Int32Array(BATCH_DATAGRAMS);
  private readonly lastAt: number;
  private at: number;
  private count = 0;
  private mapping = NO_ROW;
  private hops = 0;
  private trafficClass = 0;
  private isWhole = false;

  constructor(parts: FlowParts, table: FlowTable, user: SenderUser) {
    this.parts = parts;
    this.batch = parts.batch;
    this.table = table;
    this.user = user;
    this.lastAt = parts.batch.cellAt(BATCH_DATAGRAMS - 1);
    this.at = parts.batch.cellAt(0);
  }

  /** Where the next datagram is written: 64 KiB in the slab. */
  get room(): number {
    return this.at;
  }

  /** `bytes` at `room` go to remote `r`. `isWhole`: nobody may cut it. */
  add(r: number, bytes: number, hops: number, trafficClass: number, isWhole: boolean): void {
    const { batch, table, at } = this;
    const m = table.mappingOf(r);
    const isAlike = m === this.mapping && hops === this.hops && trafficClass === this.trafficClass;
    if (this.count > 0 && !(isAlike && isWhole === this.isWhole)) this.send();
    this.mapping = m;
    this.hops = hops;
    this.trafficClass = trafficClass;
    this.isWhole = isWhole;
    const i = this.count++;
    batch.at[i] = at;
    batch.bytes[i] = bytes;
    table.hostInto(r, batch.address, 4 * i);
    batch.port[i] = table.remotePortOf(r);
    this.remotes[i] = r;
    this.at = at + ((bytes + ALIGN - 1) & -ALIGN);
    if (this.count === BATCH_DATAGRAMS || this.at > this.lastAt) this.flush();
  }

  /** Sends all that was added. What lies at `room` and was not added is lost. */
  flush(): void {
    this.send();
    this.at = this.batch.cellAt(0);
  }

  /** As `flush`, but what lies at `room` stays. */
  send(): void {
    const { batch, parts, count, mapping } = this;
    if (count === 0) return;
    const { host } = parts;
    const h = this.table.handleOf(mapping);
    host.setHops(h, this.hops);
    host.setTrafficClass(h, this.trafficClass);
    host.setDontFragment(h, this.isWhole);
    batch.count = count;
    for (let from = 0; from < count; ) {
      const sent = host.sendDatagrams(h, batch, from, count - from);
      if (sent > 0) from += sent;
      else if (sent === -Errno.EAGAIN || sent === 0) {
        parts.counters.lost += count - from;
        break;
      } else from += this.recover(h, from, sent);
    }
    for (let i = 0; i < count; i++) batch.at[i] = batch.cellAt(i);
    batch.count = 0;
    this.count = 0;
  }

  /**
   * Datagram `i` was not taken. Of Linux's sockets that may be an error of an earlier one, which is thereby told; so it is
   * tried once more. What is its own the guest hears. Always 1.
   */
  private recover(h: number, i: number, sent: number): number {
    const { batch, user, mapping } = this;
    let errno = -sent;
    let info = user.errors(mapping);
    if (errno !== Errno.EMSGSIZE || info < 0) {
      const again = this.parts.host.sendDatagrams(h, batch, i, 1);
      if (again > 0) return 1;
      errno = -again;
      info = Math.max(info, user.errors(mapping));
    }
    if (errno === Errno.EAGAIN) this.parts.counters.lost++;
    else user.failed(this.remotes[i]!, batch.at[i]!, batch.bytes[i]!, errno, Math.max(info, 0));
    return 1;
  }
}
