// pcap://: a port whose frames go into a capture file, or come out of one.

import { createReadStream, createWriteStream, type WriteStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { Burst } from '../core/burst.ts';
import { PLAIN } from '../core/burst.ts';
import { Drop } from '../core/drop.ts';
import { type Port, PortCounters, SUPER_FRAME_BYTES } from '../core/port.ts';
import { US_PER_MS } from '../core/time.ts';
import { LINKTYPE_ETHERNET, PcapReader, writePcapHeader, writePcapRecord } from '../wire/pcap.ts';
import type { PlugHost } from './host.ts';
import { MessagePort } from './message-port.io.ts';
import type { NodePlug, NodePlugHooks } from './node-plug.ts';
import { reason } from './stream.io.ts';
import type { Vnl } from './vnl.ts';

const QUEUE_BYTES = 1 << 20;
const RECORD_HEADER_BYTES = 16;
const CHUNK_BYTES = 8192; // fewer frames than the free half of a port's receiving side takes

/** Opens a capture: written to, or with `replay` read as fast as it is taken. Rejects if the file cannot be opened. */
export async function openPcap(vnl: Vnl, host: PlugHost, hooks: NodePlugHooks): Promise<NodePlug> {
  const isReplay = vnl.options.has('replay');
  const file = await open(vnl.address, isReplay ? 'r' : 'w', 0o600);
  return isReplay ? replay(vnl, file, host, hooks) : capture(vnl, file, host, hooks);
}

function capture(vnl: Vnl, file: FileHandle, host: PlugHost, hooks: NodePlugHooks): NodePlug {
  const output = createWriteStream('', { fd: file });
  const port = new CapturePort(host, output);
  output.on('error', (error) => host.tell(port, `pcap: ${vnl.address}: ${reason(error)}`));
  hooks.onPort(port);
  return {
    describe: () => `pcap://${vnl.address} ${port.counters.txFrames} frames written`,
    close: () => port.close(),
  };
}

/** Writes what it is given, stamped with the host's time of day. */
class CapturePort implements Port {
  readonly counters = new PortCounters();
  readonly frameBytesMax = SUPER_FRAME_BYTES;
  readonly takesOffload = false;
  private readonly host: PlugHost;
  private readonly output: WriteStream;
  private readonly startUs: number; // the host's clock zero, since 1970
  private records: Uint8Array[] = [];
  private bytes = 0;
  private isBroken = false;

  constructor(host: PlugHost, output: WriteStream) {
    this.host = host;
    this.output = output;
    this.startUs = Date.now() * US_PER_MS - host.nowUs();
    output.write(writePcapHeader());
    output.on('error', () => {
      this.isBroken = true;
    });
    output.on('drain', () => {
      host.drained?.(this);
      host.wake(this);
    });
  }

  receive(_burst: Burst, _nowUs: number): boolean {
    return false;
  }

  pause(): void {
    // It never brings frames.
  }

  queue(at: number, length: number, offload: number): Drop {
    if (this.isBroken || offload !== PLAIN) return Drop.TxError;
    if (length > this.frameBytesMax) return Drop.TxTooLong;
    if (this.output.writableLength + this.bytes + length > QUEUE_BYTES) return Drop.TxFull;
    this.records.push(writePcapRecord(this.host.slab.view, at, length, this.startUs + this.host.nowUs()));
    this.bytes += RECORD_HEADER_BYTES + length;
    return Drop.None;
  }

  flush(_nowUs: number): boolean {
    if (this.records.length > 0 && !this.isBroken) {
      this.output.write(Buffer.concat(this.records, this.bytes));
      this.counters.txFrames += this.records.length;
      this.counters.txBytes += this.bytes - this.records.length * RECORD_HEADER_BYTES;
    }
    this.records = [];
    this.bytes = 0;
    return this.isBroken || this.output.writableLength <= QUEUE_BYTES / 2;
  }

  close(): void {
    this.isBroken = true;
    this.output.end();
  }
}

function replay(vnl: Vnl, file: FileHandle, host: PlugHost, hooks: NodePlugHooks): NodePlug {
  const port = new MessagePort({ host, queueBytesMax: QUEUE_BYTES });
  const input = createReadStream('', { fd: file, highWaterMark: CHUNK_BYTES });
  const reader = new PcapReader();
  let frames = 0;
  const tell = (text: string): void => host.tell(port, `pcap: ${vnl.address}: ${text}`);
  const end = (text: string): void => {
    input.destroy();
    tell(text);
  };
  input.on('data', (chunk) => {
    reader.push(chunk as Buffer);
    for (let frame = reader.next(); frame; frame = reader.next()) {
      if (frame.linkType !== LINKTYPE_ETHERNET)
        return end(`link type ${frame.linkType}, only Ethernet (1) is replayed`);
      port.accept(frame.bytes);
      frames++;
    }
    if (reader.error !== undefined) end(reader.error);
    return undefined;
  });
  input.on('end', () => tell(`${frames} frames replayed${reader.pendingBytes > 0 ? ', the last one is cut' : ''}`));
  input.on('error', (error) => tell(reason(error)));
  hooks.onPort(port);
  port.attach({
    queuedBytes: () => 0,
    send: () => {}, // a capture that is read takes nothing
    pause: (isPaused) => {
      if (isPaused) input.pause();
      else input.resume();
    },
  });
  return {
    describe: () => `pcap://${vnl.address}[replay] ${frames} frames read`,
    close: () => {
      port.close();
      input.destroy();
    },
  };
}
