// The VDE control protocol's request, as bytes: what a plug writes to `ctl` to get a port.

// The protocol's numbers: change one and no VDE program understands us.
export const VDE_MAGIC = 0xfeedface;
export const VDE_VERSION = 3;
const TYPE_NEW_CONTROL = 0;
const TYPE_NEW_PORT0 = 1;

// Packed, host order (little-endian on every host that we run on).
const MAGIC = 0; // u32
const VERSION = 4; // u32
const TYPE = 8; // i32: request in the low 8 bits, port number above
const ADDRESS = 12; // sockaddr_un of the plug's datagram socket
const V1_ADDRESS = 14; // version 1 has a 6-byte Ethernet address after the type, and no version
const ADDRESS_BYTES = 110;

const REQUEST_BYTES_MIN = ADDRESS + ADDRESS_BYTES;
/** One read of a reference switch takes 256 bytes; what is longer is not a request. */
export const REQUEST_BYTES_MAX = 256;
export const REPLY_BYTES = ADDRESS_BYTES;

/** The port that a plug asks for: any, or a number. */
export const ANY_PORT = -1;

export interface VdeRequest {
  /** `ANY_PORT`, or the number asked for; 0 is the management port. */
  port: number;
  /** Offset of 110 bytes of sockaddr_un in the request. */
  addressAt: number;
  /** What the plug says of itself, untrusted: printable ASCII, the rest replaced. */
  description: string;
}

/** How many bytes a request has at least, by what is there of it. */
export function requestBytes(bytes: Uint8Array): number {
  const isV1 = bytes.length > VERSION && bytes[VERSION]! <= TYPE_NEW_PORT0;
  return (isV1 ? V1_ADDRESS : ADDRESS) + ADDRESS_BYTES;
}

/** Reads a request, or says in a few words why it is none. Bytes past the description's end are ignored. */
export function readRequest(bytes: Uint8Array): VdeRequest | string {
  if (bytes.length < requestBytes(bytes)) return `request of ${bytes.length} bytes, at least ${requestBytes(bytes)}`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(MAGIC, true) !== VDE_MAGIC) return 'bad magic';
  const version = view.getUint32(VERSION, true);
  if (version === TYPE_NEW_CONTROL || version === TYPE_NEW_PORT0) return readV1(bytes, view, version);
  if (version !== VDE_VERSION) return `version ${version} is not supported`;
  const type = view.getInt32(TYPE, true);
  const wanted = type >> 8;
  const kind = type & 0xff;
  if (kind !== TYPE_NEW_CONTROL && kind !== TYPE_NEW_PORT0) return `bad request type ${kind}`;
  if (wanted < 0) return `port ${wanted} is out of range`;
  const port = kind === TYPE_NEW_PORT0 ? 0 : wanted === 0 ? ANY_PORT : wanted;
  return { port, addressAt: ADDRESS, description: describe(bytes, REQUEST_BYTES_MIN) };
}

/** Version 1: magic, type, Ethernet address, sockaddr_un, description. The type stands where later versions have the version. */
function readV1(bytes: Uint8Array, view: DataView, type: number): VdeRequest | string {
  if (view.getUint16(V1_ADDRESS, true) !== 1) return 'version 1 request without an AF_UNIX address';
  const port = type === TYPE_NEW_PORT0 ? 0 : ANY_PORT;
  return { port, addressAt: V1_ADDRESS, description: describe(bytes, V1_ADDRESS + ADDRESS_BYTES) };
}

/** A version 3 request for `port` (or `ANY_PORT`) with the plug's own socket path and description, both shortened to fit. */
export function writeRequest(port: number, path: Uint8Array, description: string): Uint8Array {
  const text = new TextEncoder().encode(description).subarray(0, REQUEST_BYTES_MAX - REQUEST_BYTES_MIN - 1);
  const out = new Uint8Array(REQUEST_BYTES_MIN + text.length);
  const view = new DataView(out.buffer);
  view.setUint32(MAGIC, VDE_MAGIC, true);
  view.setUint32(VERSION, VDE_VERSION, true);
  const type = port === 0 ? TYPE_NEW_PORT0 : port === ANY_PORT ? 0 : port << 8;
  view.setInt32(TYPE, type, true);
  view.setUint16(ADDRESS, 1, true);
  out.set(path.subarray(0, ADDRESS_BYTES - 3), ADDRESS + 2);
  out.set(text, REQUEST_BYTES_MIN);
  return out;
}

/** 110 bytes: the sockaddr_un of the switch's own datagram socket. */
export function writeReply(path: Uint8Array): Uint8Array {
  const out = new Uint8Array(REPLY_BYTES);
  out[0] = 1;
  out.set(path.subarray(0, REPLY_BYTES - 3), 2);
  return out;
}

/** The path of a sockaddr_un, or undefined if it is no AF_UNIX address; an abstract name starts with NUL. */
export function addressPath(bytes: Uint8Array, at: number): Uint8Array | undefined {
  if (bytes[at] !== 1 || bytes[at + 1] !== 0) return undefined;
  const path = bytes.subarray(at + 2, at + ADDRESS_BYTES);
  if (path[0] === 0) return path;
  const end = path.indexOf(0);
  return end < 0 ? path : path.subarray(0, end);
}

function describe(bytes: Uint8Array, from: number): string {
  let text = '';
  for (let i = from; i < bytes.length && bytes[i] !== 0; i++) {
    const byte = bytes[i]!;
    text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '?';
  }
  return text;
}
