// The smallest station there is: answers ARP and pings. It runs here and, as text, in a page: nothing outside it is used.

/** The answer of a station with these addresses to a frame, if it has one. Written so that `toString` works in a browser. */
export function answer(frame: Uint8Array, mac: readonly number[], ip: readonly number[]): Uint8Array | undefined {
  const type = frame[12]! * 256 + frame[13]!;
  const isAt = (at: number): boolean => ip.every((byte, i) => frame[at + i] === byte);
  const reply = frame.slice();
  reply.set(frame.subarray(6, 12), 0);
  reply.set(mac, 6);
  if (type === 0x0806 && frame[21] === 1 && isAt(38)) {
    reply[21] = 2; // RFC 826: a reply, with our addresses as the sender's
    reply.set(frame.subarray(22, 32), 32);
    reply.set(mac, 22);
    reply.set(ip, 28);
    return reply;
  }
  if (type === 0x0800 && frame[23] === 1 && frame[34] === 8 && isAt(30)) {
    reply.set(frame.subarray(26, 30), 30);
    reply.set(ip, 26);
    reply[34] = 0; // RFC 792: an echo reply; its checksum grows by what the type shrank
    const sum = frame[36]! * 256 + frame[37]! + 0x0800;
    const folded = (sum & 0xffff) + (sum >> 16);
    reply[36] = folded >> 8;
    reply[37] = folded & 0xff;
    return reply;
  }
  return undefined;
}
