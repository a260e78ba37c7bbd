// Full rate over two stream cables: u32be length and frame, many frames in one call, polled from one thread.

import { sys } from '../../sys/libc.io.ts';
import type { Job } from '../kit/job.ts';
import { DONTWAIT, makeFrame } from './batch.ts';
import { type Counts, type Load, NO_RTTS, QUIET_MS } from './load.ts';
import { base, slab, take } from './memory.ts';
import { BROADCAST, station } from './stations.ts';
import { connectStream } from './vde-port.ts';

const NOSIGNAL = 0x4000;
const READ_BYTES = 256 << 10;
const LENGTH_BYTES = 4;
const LEARN_MS = 30;

interface Cable {
  readonly tx: number;
  readonly rx: number;
  readonly cargo: number;
  readonly cargoBytes: number;
  readonly recordBytes: number;
  readonly room: number;
  /** Bytes of the cargo that are already gone: a send may stop in the middle of a frame. */
  gone: number;
}

/** `stream`: like `saturate` of a pair, over `dir/stream`; `job.batch` frames in one send. */
export function openStream(job: Job): Load {
  const path = `${job.dir}/stream`;
  const [tx, rx] = [connectStream(path), connectStream(path)];
  const recordBytes = LENGTH_BYTES + job.frameBytes;
  const cargoBytes = recordBytes * job.batch;
  const cargo = take(cargoBytes);
  for (let i = 0; i < job.batch; i++) {
    putRecord(cargo + i * recordBytes, job.frameBytes, { source: station(0, 0), target: station(1, 0) });
  }
  const cable: Cable = { tx, rx, cargo, cargoBytes, recordBytes, room: take(READ_BYTES), gone: 0 };
  learn(cable, job.frameBytes);
  return {
    run: async (seconds) => saturate(cable, seconds),
    close: async () => {
      sys().close(tx);
      sys().close(rx);
    },
  };
}

function putRecord(at: number, frameBytes: number, flow: { source: Uint8Array; target: Uint8Array }): void {
  const frame = makeFrame(flow, frameBytes);
  slab.view.setUint32(at, frameBytes);
  slab.bytes.copyWithin(at + LENGTH_BYTES, frame, frame + frameBytes);
}

/** Each end sends one broadcast, so that the switch knows both; what arrives is thrown away. */
function learn({ tx, rx, recordBytes, room }: Cable, frameBytes: number): void {
  const hello = take(recordBytes);
  for (const [port, fd] of [tx, rx].entries()) {
    putRecord(hello, frameBytes, { source: station(port, 0), target: BROADCAST });
    sys().send(fd, base + hello, recordBytes, NOSIGNAL);
  }
  for (const end = performance.now() + LEARN_MS; performance.now() < end; ) {
    for (const fd of [tx, rx]) sys().recv(fd, base + room, READ_BYTES, DONTWAIT);
  }
}

function saturate(cable: Cable, seconds: number): Counts {
  const { tx, rx, cargo, cargoBytes, recordBytes, room } = cable;
  let sentBytes = 0;
  let gotBytes = 0;
  const start = performance.now();
  const end = start + seconds * 1000;
  let now = start;
  let lastAt = start;
  while (now < end || (gotBytes < sentBytes && now - lastAt < QUIET_MS)) {
    if (now < end) {
      const sent = sys().send(tx, base + cargo + cable.gone, cargoBytes - cable.gone, DONTWAIT | NOSIGNAL);
      if (sent > 0) {
        sentBytes += sent;
        cable.gone = (cable.gone + sent) % cargoBytes;
      }
    }
    const got = sys().recv(rx, base + room, READ_BYTES, DONTWAIT);
    now = performance.now();
    if (got > 0) {
      gotBytes += got;
      lastAt = now;
    }
  }
  return {
    sent: Math.round(sentBytes / recordBytes),
    delivered: Math.round(gotBytes / recordBytes),
    strays: 0,
    seconds: (lastAt - start) / 1000,
    rttsUs: NO_RTTS,
  };
}
