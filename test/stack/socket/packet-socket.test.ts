import { expect, test } from 'vitest';
import { StateReader, StateWriter } from '../../../core/state.ts';
import { ANY } from '../../../stack/address.ts';
import { Errno } from '../../../stack/errno.ts';
import { DatagramFlag, Family, SocketOption, SocketType } from '../../../stack/socket/sockets.ts';
import { makeHost } from '../kit-sockets.ts';

const FRAME = Uint8Array.of(2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x88, 0xb5, 1, 2, 3);
const into = new Uint8Array(100);

function hear(host: ReturnType<typeof makeHost>, iface: number, isOutgoing: boolean, length = FRAME.length): void {
  const { at } = host.packet(ANY, ANY, 0, FRAME);
  host.sockets.packets.hearFrame(iface, at, length, isOutgoing);
}

test('raw sockets see whole frames of their EtherType, datagram sockets what is behind the header', () => {
  const host = makeHost();
  const { sockets } = host;
  expect(sockets.packets.isIdle).toBe(true);
  const types = [SocketType.Raw, SocketType.Datagram, SocketType.Raw];
  const all = types.map((type, i) => sockets.socket(Family.Packet, type, i === 2 ? 0x800 : 0x88b5));
  expect(sockets.packets.isIdle).toBe(false);
  hear(host, 2, false);
  expect(all.map((h) => sockets.receiveFrom(h, into, 0, 100))).toEqual([17, 3, -Errno.EAGAIN]);
  expect(sockets.message).toMatchObject({ iface: 2, port: 0x88b5, flags: 0 });
  expect([...sockets.message.source]).toEqual([0x200, 9, 0, 0]);
  expect(all.map((h) => sockets.getOption(h, SocketOption.Type))).toEqual(types);
});

test('who wants all protocols sees what this host sends, too; on the interface that was bound', () => {
  const host = makeHost();
  const { sockets } = host;
  const h = sockets.socket(Family.Packet, SocketType.Raw, 3);
  const one = sockets.socket(Family.Packet, SocketType.Raw, 0x88b5);
  expect(sockets.bind(h, ANY, 0, 9)).toBe(-Errno.EADDRNOTAVAIL);
  expect(sockets.bind(h, ANY, 0, 2)).toBe(0);
  hear(host, 1, true);
  expect(sockets.receiveFrom(h, into, 0, 100)).toBe(-Errno.EAGAIN);
  hear(host, 2, true);
  expect(sockets.receiveFrom(h, into, 0, 100)).toBe(17);
  expect(sockets.message.flags).toBe(DatagramFlag.Outgoing);
  expect(sockets.receiveFrom(one, into, 0, 100)).toBe(-Errno.EAGAIN);
  hear(host, 2, false, 13);
  expect(sockets.receiveFrom(h, into, 0, 100)).toBe(-Errno.EAGAIN);
});

test('sends whole frames, or builds the header', () => {
  const host = makeHost();
  const { sockets, output, shared } = host;
  const whole = sockets.socket(Family.Packet, SocketType.Raw, 3);
  const cooked = sockets.socket(Family.Packet, SocketType.Datagram, 0x88b5);
  expect(sockets.send(whole, FRAME, 0, 17)).toBe(-Errno.ENETDOWN);
  expect(sockets.sendTo(whole, FRAME, 0, 17, ANY, 0, 2)).toBe(17);
  expect(sockets.sendTo(cooked, FRAME, 14, 3, Int32Array.of(0x200, 9, 0, 0), 0x1234, 2)).toBe(3);
  expect(sockets.sendTo(whole, FRAME, 0, 13, ANY, 0, 2)).toBe(-Errno.EINVAL);
  expect(sockets.sendTo(whole, new Uint8Array(1515), 0, 1515, ANY, 0, 2)).toBe(-Errno.EMSGSIZE);
  const frames: number[][] = [];
  output.visit((at, length) => frames.push([...shared.bytes.subarray(at, at + length)]));
  expect(frames).toEqual([[...FRAME], [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 0x12, 0x34, 1, 2, 3]]);
});

test('a full output is EAGAIN, a full buffer drops', () => {
  const host = makeHost();
  const { sockets } = host;
  const h = sockets.socket(Family.Packet, SocketType.Raw, 3);
  for (let i = 0; i < 16; i++) sockets.sendTo(h, FRAME, 0, 17, ANY, 0, 2);
  expect(sockets.sendTo(h, FRAME, 0, 17, ANY, 0, 2)).toBe(-Errno.EAGAIN);
  sockets.setOption(h, SocketOption.ReceiveBuffer, 2304);
  for (let i = 0; i < 30; i++) hear(host, 2, false);
  expect(host.shared.drops.byName()).toEqual({ 'socket-full': 12 });
});

test('saved and loaded, frames and filters are as before', () => {
  const host = makeHost();
  const h = host.sockets.socket(Family.Packet, SocketType.Raw, 0x88b5);
  hear(host, 2, false);
  const state = new StateWriter();
  host.sockets.save(state);
  const again = makeHost();
  again.sockets.load(new StateReader(state.finish()));
  hear(again, 2, false);
  expect([1, 2, 3].map(() => again.sockets.receiveFrom(h, into, 0, 100))).toEqual([17, 17, -Errno.EAGAIN]);
});
