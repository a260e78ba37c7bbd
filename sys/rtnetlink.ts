// The messages of rtnetlink(7) that make and address a network device: values in, bytes out, and replies back to values.
// All fields are in the host's byte order (little-endian on every machine that sys/ runs on); addresses in network order.

const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;
const NLM_F_REPLACE = 0x100;
const NLM_F_DUMP = 0x300;
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_NEWROUTE = 24;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_NET_NS_FD = 28;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_F_NODAD = 0x02;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const RTN_UNICAST = 1;
const IFF_UP = 0x1;
const IFF_RUNNING = 0x40;

/** `type` of a reply that carries an errno (0: done), and of the end of a listing. */
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
/** Bytes of struct nlmsghdr, and of struct ifinfomsg behind it. */
export const NLMSGHDR_BYTES = 16;
const IFINFOMSG_BYTES = 16;

const MESSAGE_BYTES_MAX = 1024; // the longest request here needs about 200

/** A device as the kernel lists it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  readonly mtu: number;
  readonly isUp: boolean;
  /** Up, with a carrier, and the kernel has taken note of it: frames pass. */
  readonly isRunning: boolean;
  /** 6 bytes, or none for devices without one. */
  readonly mac: Uint8Array;
}

/** What to change of a device; what is missing stays. */
export interface LinkChange {
  readonly isUp?: boolean;
  readonly name?: string;
  readonly mac?: Uint8Array;
  readonly mtu?: number;
}

/** One end of a veth pair that is to be made. Without `namespace` (a descriptor) it appears where the request is made. */
export interface VethEnd extends LinkChange {
  readonly name: string;
  readonly namespace?: number;
}

/** One request under construction: header, then attributes that may nest. */
class Request {
  readonly bytes = new Uint8Array(MESSAGE_BYTES_MAX);
  private readonly view = new DataView(this.bytes.buffer);
  private length = NLMSGHDR_BYTES;

  constructor(type: number, flags: number) {
    this.view.setUint16(4, type, true);
    this.view.setUint16(6, NLM_F_REQUEST | flags, true);
  }

  u8(value: number): this {
    this.bytes[this.length++] = value;
    return this;
  }

  u16(value: number): this {
    this.view.setUint16(this.length, value, true);
    this.length += 2;
    return this;
  }

  u32(value: number): this {
    this.view.setUint32(this.length, value, true);
    this.length += 4;
    return this;
  }

  /** An attribute: u16 length with header, u16 type, value, padded to 4. */
  attribute(type: number, value: Uint8Array): this {
    return this.nest(type, () => {
      this.bytes.set(value, this.length);
      this.length += value.length;
    });
  }

  attributeU32(type: number, value: number): this {
    return this.nest(type, () => this.u32(value));
  }

  attributeText(type: number, value: string): this {
    return this.attribute(type, new TextEncoder().encode(`${value}\0`));
  }

  nest(type: number, inner: () => void): this {
    const start = this.length;
    this.length += 4;
    inner();
    this.view.setUint16(start, this.length - start, true);
    this.view.setUint16(start + 2, type, true);
    this.length = (this.length + 3) & ~3;
    return this;
  }

  /** struct ifinfomsg: family, pad, device type, index, flags, mask of flags to change. */
  linkHeader(index: number, isUp: boolean | undefined): this {
    const mask = isUp === undefined ? 0 : IFF_UP;
    return this.u32(0)
      .u32(index)
      .u32(isUp ? IFF_UP : 0)
      .u32(mask);
  }

  linkAttributes({ name, mac, mtu }: LinkChange): this {
    if (name !== undefined) this.attributeText(IFLA_IFNAME, name);
    if (mac) this.attribute(IFLA_ADDRESS, mac);
    if (mtu !== undefined) this.attributeU32(IFLA_MTU, mtu);
    return this;
  }

  finish(): Uint8Array {
    this.view.setUint32(0, this.length, true);
    return this.bytes.subarray(0, this.length);
  }
}

/** Writes the sequence number that the reply will repeat. */
export function setSequence(message: Uint8Array, sequence: number): void {
  viewOf(message).setUint32(8, sequence, true);
}

/** Makes a pair of virtual Ethernet devices that are each other's cable. */
export function newVeth(near: VethEnd, far: VethEnd): Uint8Array {
  const request = new Request(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
  const end = (it: VethEnd) => {
    request.linkHeader(0, it.isUp).linkAttributes(it);
    if (it.namespace !== undefined) request.attributeU32(IFLA_NET_NS_FD, it.namespace);
  };
  end(near);
  request.nest(IFLA_LINKINFO, () => {
    request.attributeText(IFLA_INFO_KIND, 'veth').nest(IFLA_INFO_DATA, () => {
      request.nest(VETH_INFO_PEER, () => end(far));
    });
  });
  return request.finish();
}

/** Changes the device `index`. Its name can be changed only while it is down. */
export function setLink(index: number, change: LinkChange): Uint8Array {
  return new Request(RTM_NEWLINK, NLM_F_ACK).linkHeader(index, change.isUp).linkAttributes(change).finish();
}

/** Asks for all devices. */
export function listLinks(): Uint8Array {
  return new Request(RTM_GETLINK, NLM_F_DUMP).linkHeader(0, undefined).finish();
}

const familyOf = (address: Uint8Array): number => (address.length === 4 ? 2 : 10); // AF_INET, AF_INET6

/**
 * Gives the device an address: 4 or 16 bytes and the length of the network's prefix.
 * IPv6 addresses skip duplicate detection (RFC 4862 §5.4): a program must be able to bind to them at once.
 */
export function newAddress(index: number, address: Uint8Array, prefixLength: number): Uint8Array {
  const isV6 = address.length === 16;
  const request = new Request(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)
    .u8(familyOf(address))
    .u8(prefixLength)
    .u8(isV6 ? IFA_F_NODAD : 0)
    .u8(0)
    .u32(index)
    .attribute(IFA_LOCAL, address)
    .attribute(IFA_ADDRESS, address);
  if (!isV6 && prefixLength <= 30) request.attribute(IFA_BROADCAST, broadcastOf(address, prefixLength));
  return request.finish();
}

/** The default route by `gateway` (4 or 16 bytes). */
export function newDefaultRoute(index: number, gateway: Uint8Array): Uint8Array {
  return new Request(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)
    .u8(familyOf(gateway))
    .u8(0) // destination ::/0 or 0.0.0.0/0
    .u8(0)
    .u8(0)
    .u8(RT_TABLE_MAIN)
    .u8(RTPROT_STATIC)
    .u8(0) // scope universe
    .u8(RTN_UNICAST)
    .u32(0)
    .attribute(RTA_GATEWAY, gateway)
    .attributeU32(RTA_OIF, index)
    .finish();
}

/** Splits what one receive brought into messages: calls `each` with type and the offsets of body and end. Stops at nonsense. */
export function eachMessage(bytes: Uint8Array, each: (type: number, body: number, end: number) => void): void {
  const view = viewOf(bytes);
  let at = 0;
  while (at + NLMSGHDR_BYTES <= bytes.length) {
    const length = view.getUint32(at, true);
    if (length < NLMSGHDR_BYTES || at + length > bytes.length) return;
    each(view.getUint16(at + 4, true), at + NLMSGHDR_BYTES, at + length);
    at += (length + 3) & ~3;
  }
}

/** Reads one device of a listing, or undefined if the message is none. */
export function readLink(bytes: Uint8Array, body: number, end: number): Link | undefined {
  const view = viewOf(bytes);
  if (body + IFINFOMSG_BYTES > end) return undefined;
  let name = '';
  let mtu = 0;
  let mac = new Uint8Array(0);
  let at = body + IFINFOMSG_BYTES;
  while (at + 4 <= end) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > end) return undefined;
    const type = view.getUint16(at + 2, true);
    const value = bytes.subarray(at + 4, at + length);
    if (type === IFLA_IFNAME) name = new TextDecoder().decode(value).replace(/\0.*$/s, '');
    if (type === IFLA_MTU && value.length >= 4) mtu = view.getUint32(at + 4, true);
    if (type === IFLA_ADDRESS) mac = value.slice();
    at += (length + 3) & ~3;
  }
  const flags = view.getUint32(body + 8, true);
  const isUp = (flags & IFF_UP) !== 0;
  return { index: view.getInt32(body + 4, true), name, mtu, isUp, isRunning: (flags & IFF_RUNNING) !== 0, mac };
}

function broadcastOf(address: Uint8Array, prefixLength: number): Uint8Array {
  return address.map((byte, i) => byte | (0xff >> Math.min(8, Math.max(0, prefixLength - 8 * i))));
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
