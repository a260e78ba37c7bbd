// Many connections between two stacks in process: what idle ones cost, and how fast they come and go.

import { assert } from '../../core/assert.ts';
import { NEVER } from '../../core/time.ts';
import { Errno, Family, parseAddress, SocketType } from '../../stack/stack.ts';
import { lanAddress, StackLan } from './stack-lan.ts';
import { dial, serve } from './stack-transfer.ts';

const PORT = 80;
const MTU_BYTES = 1500;
const BATCH = 64;
const SETTLED_BYTES = 4096;
const SETTLE_SECONDS = 4; // delayed ACKs, announcements and the neighbour's confirmation are over
const SECONDS_MAX = 20;
const REQUEST = new Uint8Array(100).fill(0x3f);
const ANSWER = new Uint8Array(200).fill(0x21);
const CLIENTS = 32;

/** What idle connections cost. Bytes are of one end: half of what both stacks took. */
export interface Idle {
  readonly bytesPerConnection: number;
  /** Of these, what the garbage collector looks after. */
  readonly heapBytesPerConnection: number;
  /** Turns in which a stack had something to do. */
  readonly turnsPerSecond: number;
  /** The two stacks' next deadline is so many seconds away; Infinity if there is none. */
  readonly nextDeadlineSeconds: number;
}

/** Opens so many connections that then do nothing for `seconds`. */
export function idle(connections: number, isIp6: boolean, seconds: number): Idle {
  const lan = new StackLan({ mtuBytes: MTU_BYTES, takesOffload: false });
  const [a, b] = [lan.add(), lan.add()];
  const { sockets, streams } = b;
  let accepted = 0;
  const h = sockets.socket(isIp6 ? Family.Inet6 : Family.Inet, SocketType.Stream);
  sockets.bind(h, parseAddress(isIp6 ? '::' : '0.0.0.0')!, PORT);
  sockets.listen(h, 2 * BATCH);
  streams.adopt(h).onReadable = () => {
    while (sockets.accept(h) >= 0) accepted++;
  };
  const connect = (): number => {
    const n = a.sockets.socket(isIp6 ? Family.Inet6 : Family.Inet, SocketType.Stream);
    return a.sockets.connect(n, parseAddress(lanAddress(2, isIp6))!, PORT);
  };
  // The first connection also makes what a stack has once: neighbours, a path, the output.
  connect();
  a.streams.wake();
  assert(
    lan.until(() => accepted === 1, SECONDS_MAX),
    'one connection',
  );
  const before = memory(lan);
  for (let open = 1; open < connections; ) {
    const goal = Math.min(connections, open + BATCH);
    for (; open < goal; open++) assert(connect() === -Errno.EINPROGRESS, 'a connection begins');
    a.streams.wake();
    assert(
      lan.until(() => accepted === goal, SECONDS_MAX),
      `${goal} connections`,
    );
  }
  const after = memory(lan);
  const ends = 2 * (connections - 1);
  lan.until(() => false, SETTLE_SECONDS);
  const turns = lan.busyTurns;
  lan.until(() => false, seconds);
  const deadlineUs = Math.min(a.deadlineUs(), b.deadlineUs());
  return {
    bytesPerConnection: (after.all - before.all) / ends,
    heapBytesPerConnection: (after.heap - before.heap) / ends,
    turnsPerSecond: (lan.busyTurns - turns) / seconds,
    nextDeadlineSeconds: deadlineUs === NEVER ? NEVER : (deadlineUs - lan.nowUs()) / 1e6,
  };
}

/** Bytes in use: the heap, typed arrays (the slab's address space not counted), and the slab's pieces. */
function memory(lan: StackLan): { all: number; heap: number } {
  // What was outgrown is freed by and by: collect until nothing more goes.
  for (let before = Infinity; ; ) {
    (globalThis as { gc?: () => void }).gc?.();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    if (heapUsed + arrayBuffers > before - SETTLED_BYTES) break;
    before = heapUsed + arrayBuffers;
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return { all: heapUsed + arrayBuffers + lan.slab.usedBytes, heap: heapUsed };
}

/**
 * Connections that are opened, carry a request and an answer, and are closed by the server, so that TIME-WAIT is there:
 * how many a second, and how many are in TIME-WAIT at the end.
 */
export function cycles(isIp6: boolean, seconds: number): { perSecond: number; inTimeWait: number } {
  const lan = new StackLan({ mtuBytes: MTU_BYTES, takesOffload: false });
  const [a, b] = [lan.add(), lan.add()];
  const into = new Uint8Array(4096);
  serve(b, isIp6, PORT, (handle) => {
    handle.onReadable = () => {
      if (handle.read(into, 0, into.length) < REQUEST.length) return;
      handle.write(ANSWER, 0, ANSWER.length);
      handle.close();
    };
  });
  let done = 0;
  const begin = (): void => {
    const handle = dial(a, lanAddress(2, isIp6), PORT);
    let got = 0;
    handle.onWritable = () => {
      handle.onWritable = undefined;
      handle.write(REQUEST, 0, REQUEST.length);
    };
    handle.onReadable = () => {
      for (;;) {
        const n = handle.read(into, 0, into.length);
        if (n === -Errno.EAGAIN) return;
        assert(n >= 0, `a connection failed: ${n}`);
        got += n;
        if (n > 0) continue;
        assert(got === ANSWER.length, 'the answer is whole');
        handle.close();
        done++;
        begin();
        return;
      }
    };
  };
  for (let i = 0; i < CLIENTS; i++) begin();
  const startUs = lan.nowUs();
  lan.until(() => false, seconds);
  return { perSecond: done / ((lan.nowUs() - startUs) / 1e6), inTimeWait: b.tcp.timeWaits };
}
