// TCP segments in frames, with right checksums.

import { setU16, setU32, viewOf } from '../../wire/bytes.ts';
import { checksumOf, finish, pseudoHeader4 } from '../../wire/checksum.ts';
import * as ipv4 from '../../wire/ipv4.ts';
import * as tcp from '../../wire/tcp.ts';

export interface SegmentShape {
  readonly from?: number; // last byte of the address, and its port is 1000 more
  readonly to?: number;
  readonly seq?: number;
  readonly ack?: number;
  readonly flags?: number;
  readonly window?: number;
  readonly payload?: number;
  readonly fill?: number;
  readonly ecn?: number;
  readonly id?: number;
  readonly fragment?: number;
  readonly options?: readonly number[]; // a multiple of 4
}

export function tcpFrame(shape: SegmentShape): Uint8Array {
  const { from = 1, to = 2, payload = 0, options = [] } = shape;
  const header = tcp.HEADER_BYTES + options.length;
  const bytes = new Uint8Array(34 + header + payload);
  const view = viewOf(bytes);
  bytes.set([2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0]);
  ipv4.setHeaderBytes(view, 14, 20);
  ipv4.setTos(view, 14, shape.ecn ?? 0);
  ipv4.setTotalLength(view, 14, bytes.length - 14);
  ipv4.setId(view, 14, shape.id ?? 0);
  ipv4.setFragment(view, 14, shape.fragment ?? ipv4.DONT_FRAGMENT);
  ipv4.setTtl(view, 14, 64);
  ipv4.setProtocol(view, 14, ipv4.Protocol.Tcp);
  setU32(view, 26, 0x0a000000 + from);
  setU32(view, 30, 0x0a000000 + to);
  ipv4.seal(view, 14);
  setU16(view, 34, 1000 + from);
  setU16(view, 36, 1000 + to);
  tcp.setSeq(view, 34, shape.seq ?? 0);
  tcp.setAck(view, 34, shape.ack ?? 0);
  tcp.setHeaderBytes(view, 34, header);
  tcp.setFlags(view, 34, shape.flags ?? tcp.Flag.Ack);
  tcp.setWindow(view, 34, shape.window ?? 65535);
  bytes.set(options, 54);
  bytes.fill(shape.fill ?? 0, 34 + header);
  const length = bytes.length - 34;
  setU16(view, 50, finish(checksumOf(view, 34, length, pseudoHeader4(view, 14, ipv4.Protocol.Tcp, length))));
  return bytes;
}
