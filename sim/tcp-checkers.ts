// Invariants of TCP connections, as somebody on the link sees them: window, acknowledgements, and what the bytes say.

import * as tcp from '../wire/tcp.ts';
import { type Accuse, Checker, PerKey } from './checker.ts';
import { type Segment, segmentIn, sequenceBytes } from './segment.ts';
import type { Hop, Observer } from './sim-port.ts';

const { Syn, Ack, Rst, Fin } = tcp.Flag;

/** How far `a` is behind `b` on the circle of sequence numbers. */
const ahead = (a: number, b: number): number => (a - b) | 0;

type OnSegment = (segment: Segment, key: string, hop: Hop, nowUs: number) => void;

/** Calls with the segment in a frame and a key of its link and direction of flow. */
const onSegment =
  (call: OnSegment) =>
  (hop: Hop, nowUs: number): void => {
    const segment = segmentIn(hop.view, hop.at, hop.length);
    if (segment !== undefined) call(segment, keyOf(hop, segment), hop, nowUs);
  };

const keyOf = ({ link }: Hop, { source, target }: Segment): string => `${link} ${source} ${target}`;
const backKeyOf = ({ link }: Hop, { source, target }: Segment): string => `${link} ${target} ${source}`;

/** What one end of a connection says of its receive window. */
interface Announcer {
  shift: number; // as it offered in its SYN; -1: none
  edge: number; // the right edge that it announced last
  hasEdge: boolean;
}

const newAnnouncer = (): Announcer => ({ shift: -1, edge: 0, hasEdge: false });

/** The right edge that a segment announces, once both shifts are known. RFC 7323 §2.2: a SYN's window is not scaled. */
function edgeOf(segment: Segment, own: Announcer, peer: Announcer): number {
  const isScaled = (segment.flags & Syn) === 0 && own.shift >= 0 && peer.shift >= 0;
  return (segment.ack + segment.window * 2 ** (isScaled ? Math.min(own.shift, 14) : 0)) >>> 0;
}

function rememberSyn(segment: Segment, own: Announcer): void {
  if ((segment.flags & Syn) === 0) return;
  own.shift = segment.windowScale;
  own.hasEdge = false;
}

/**
 * No end sends beyond the right edge that reached it, but for a probe of one byte. RFC 9293 §3.8.6. Watch the link at the
 * sender: what is delivered there is what it knows.
 */
export const windowChecker = (): Checker =>
  new Checker('tcp-window', (accuse) => {
    const announcers = new PerKey(newAnnouncer);
    return {
      sent: onSegment((segment, key, hop, nowUs) => {
        rememberSyn(segment, announcers.of(key));
        const { edge, hasEdge } = announcers.of(backKeyOf(hop, segment));
        if (!hasEdge || (segment.flags & (Rst | Syn)) !== 0) return;
        const beyond = ahead(segment.seq + segment.payloadBytes, edge);
        if (segment.payloadBytes > 1 && beyond > 0) accuse(`${beyond} bytes beyond the window`, hop, nowUs);
      }),
      delivered: onSegment((segment, key, hop) => {
        if ((segment.flags & (Ack | Rst)) !== Ack) return;
        const own = announcers.of(key);
        const edge = edgeOf(segment, own, announcers.of(backKeyOf(hop, segment)));
        if (!own.hasEdge || ahead(edge, own.edge) > 0) own.edge = edge;
        own.hasEdge = true;
      }),
    };
  });

/** Acknowledgements of one end never go back. RFC 9293 §3.4. Resets are not concerned. */
export const ackChecker = (): Checker =>
  new Checker('tcp-ack', (accuse) => {
    const acks = new PerKey<{ last: number | undefined }>(() => ({ last: undefined }));
    return {
      sent: onSegment((segment, key, hop, nowUs) => {
        const state = acks.of(key);
        if ((segment.flags & Syn) !== 0) state.last = undefined;
        if ((segment.flags & (Ack | Rst)) !== Ack) return;
        const back = state.last === undefined ? 0 : ahead(state.last, segment.ack);
        if (back > 0) accuse(`the acknowledgement goes ${back} bytes back`, hop, nowUs);
        else state.last = segment.ack;
      }),
    };
  });

/** No end takes back window that it announced. RFC 9293 §3.8.6: only what the scale rounds away, RFC 7323 §2.4. */
export const rightEdgeChecker = (): Checker =>
  new Checker('tcp-right-edge', (accuse) => {
    const announcers = new PerKey(newAnnouncer);
    return {
      sent: onSegment((segment, key, hop, nowUs) => {
        const own = announcers.of(key);
        rememberSyn(segment, own);
        if ((segment.flags & (Ack | Rst)) !== Ack) return;
        const edge = edgeOf(segment, own, announcers.of(backKeyOf(hop, segment)));
        const back = own.hasEdge ? ahead(own.edge, edge) : 0;
        if (back >= 2 ** Math.max(0, own.shift)) accuse(`the right edge goes ${back} bytes back`, hop, nowUs);
        if (!own.hasEdge || back < 0) own.edge = edge;
        own.hasEdge = true;
      }),
    };
  });

const KEPT_BYTES = 1 << 20; // of each direction of a connection

/** What a sender said, byte by byte, for the last `KEPT_BYTES` of it. */
interface Said {
  readonly bytes: Uint16Array; // value + 1; 0 where it passed by unseen
  start: number; // sequence number of the first byte, or of the SYN
  next: number; // behind the last byte that was sent
  hasStart: boolean;
  finAt: number | undefined;
}

const newSaid = (): Said => ({
  bytes: new Uint16Array(KEPT_BYTES),
  start: 0,
  next: 0,
  hasStart: false,
  finAt: undefined,
});

/** Bytes that are sent again are the same, and none follow a FIN. RFC 9293 §3.8.1. Takes 2 MiB for each sender. */
export const payloadChecker = (): Checker =>
  new Checker('tcp-payload', (accuse) => {
    const senders = new PerKey(newSaid, { keysMax: 4096 });
    return {
      sent: onSegment((segment, key, hop, nowUs) => {
        if ((segment.flags & Rst) !== 0 || sequenceBytes(segment) === 0) return;
        say(senders.of(key), segment, hop, nowUs, accuse);
      }),
    };
  });

function say(said: Said, segment: Segment, hop: Hop, nowUs: number, accuse: Accuse): void {
  const isSyn = (segment.flags & Syn) !== 0;
  const first = (segment.seq + (isSyn ? 1 : 0)) >>> 0;
  if (!said.hasStart || (isSyn && segment.seq !== said.start)) {
    said.start = segment.seq;
    said.next = first;
    said.hasStart = true;
    said.finAt = undefined;
  }
  const end = (first + segment.payloadBytes) >>> 0;
  if (said.finAt !== undefined && ahead(end, said.finAt) > 0) accuse('data behind its FIN', hop, nowUs);
  compareBytes(said, first, segment, hop, nowUs, accuse);
  if ((segment.flags & Fin) !== 0) said.finAt = end;
}

function compareBytes(said: Said, first: number, segment: Segment, hop: Hop, nowUs: number, accuse: Accuse): void {
  const gap = Math.min(KEPT_BYTES, ahead(first, said.next));
  for (let i = 1; i <= gap; i++) said.bytes[((first - i) >>> 0) % KEPT_BYTES] = 0;
  for (let i = 0; i < segment.payloadBytes; i++) {
    const seq = (first + i) >>> 0;
    const slot = seq % KEPT_BYTES; // a power of two: the circle of 2^32 fits
    const value = hop.view.getUint8(segment.payloadAt + i);
    const behind = ahead(said.next, seq);
    const before = behind > 0 && behind <= KEPT_BYTES ? said.bytes[slot]! - 1 : -1;
    if (before >= 0 && before !== value) {
      accuse(`byte ${ahead(seq, said.start)} was ${before} and is ${value}`, hop, nowUs);
      return;
    }
    said.bytes[slot] = value + 1;
    if (behind <= 0) said.next = (seq + 1) >>> 0;
  }
}

/** All invariants of a TCP connection. */
export const tcpCheckers = (): (Checker & Observer)[] => [
  windowChecker(),
  ackChecker(),
  rightEdgeChecker(),
  payloadChecker(),
];
