// A frame in one line, to be compared with what a test expects: `fe80::1 > fe80::aa na fe80::1 SO tlla=02:00:00:00:00:01`.
// Wrong lengths and checksums are told in the line as `BAD…`.

import { format, read4, read6 } from '../../stack/address.ts';
import { formatMac } from '../../wire/ethernet.ts';
import { checksum, u16, u32 } from './frame-build.ts';

interface Frame {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

const ERRORS6: Readonly<Record<number, string>> = { 1: 'unreachable', 2: 'too-big', 3: 'exceeded', 4: 'problem' };
const MESSAGES6: Readonly<Record<number, string>> = { 130: 'query', 131: 'report', 132: 'done', 143: 'report2' };
const MESSAGES4: Readonly<Record<number, string>> = {
  0: 'echo-reply',
  3: 'unreachable',
  5: 'redirect',
  8: 'echo',
  11: 'exceeded',
  12: 'problem',
  14: 'timestamp-reply',
};

/** The line of a frame. */
export function tell(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const type = view.getUint16(12);
  const frame = { bytes, view };
  if (type === 0x0806) return tellArp(frame);
  return type === 0x86dd ? tellIp6(frame) : type === 0x0800 ? tellIp4(frame) : `ethertype ${type.toString(16)}`;
}

/** The line, with the destination MAC in front of it. */
export const tellWithMac = (bytes: Uint8Array): string => `${formatMac(bytes.subarray(0, 6))} ${tell(bytes)}`;

export function ip6At({ view }: { view: DataView }, at: number): string {
  const words = new Int32Array(4);
  read6(view, at, words);
  return format(words);
}

function ip4At({ view }: { view: DataView }, at: number): string {
  const words = new Int32Array(4);
  read4(view, at, words);
  return format(words);
}

const macAt = ({ bytes }: Frame, at: number): string => formatMac(bytes.subarray(at, at + 6));

function tellArp(frame: Frame): string {
  const operation = frame.view.getUint16(20) === 1 ? 'request' : 'reply';
  return `arp ${operation} ${ip4At(frame, 28)} ${macAt(frame, 22)} > ${ip4At(frame, 38)} ${macAt(frame, 32)}`;
}

/** Of an IPv6 frame: the words of its extension headers, and where the upper layer begins; at a fragment header it ends. */
function tellChain({ view, bytes }: Frame, words: string[]): { next: number; at: number; isCut: boolean } {
  let next = view.getUint8(20);
  let at = 54;
  while (next === 0 || next === 60 || next === 43) {
    words.push(next === 0 ? 'hbh' : next === 60 ? 'dst' : 'rh');
    next = view.getUint8(at);
    at += (view.getUint8(at + 1) + 1) << 3;
  }
  const isCut = next === 44;
  if (isCut) {
    const word = view.getUint16(at + 2);
    words.push(`frag=${word & 0xfff8}${(word & 1) !== 0 ? '+' : ''} id=${view.getUint32(at + 4)}`);
    words.push(`next=${view.getUint8(at)} data=${bytes.length - at - 8}`);
  }
  return { next, at, isCut };
}

function tellIp6(frame: Frame): string {
  const { view, bytes } = frame;
  const words: string[] = [`${ip6At(frame, 22)} > ${ip6At(frame, 38)}`];
  const hop = view.getUint8(21);
  if (view.getUint16(18) !== bytes.length - 54) words.push('BADLENGTH');
  const { next, at, isCut } = tellChain(frame, words);
  if (isCut) return words.join(' ');
  const pseudo = [...bytes.subarray(22, 54), ...u32(bytes.length - at), ...u32(next)];
  const hasSum = next === 58 || next === 17 || next === 6;
  if (hasSum && checksum([...pseudo, ...bytes.subarray(at)]) !== 0) words.push('BADSUM');
  const type = next === 58 ? view.getUint8(at) : 0;
  const usual = type >= 133 && type <= 137 ? 255 : type >= 130 && type <= 143 ? 1 : 64;
  if (hop !== usual) words.push(`hop=${hop}`);
  words.push(next === 58 ? tellIcmp6(frame, at) : tellUpper(frame, next, at));
  return words.join(' ');
}

function tellUpper(frame: Frame, protocol: number, at: number): string {
  const { view, bytes } = frame;
  if (protocol === 17) return `udp ${view.getUint16(at)} > ${view.getUint16(at + 2)} data=${bytes.length - at - 8}`;
  return protocol === 6 ? `tcp ${view.getUint16(at)} > ${view.getUint16(at + 2)}` : `protocol ${protocol}`;
}

function tellIcmp6(frame: Frame, at: number): string {
  const { view, bytes } = frame;
  const type = view.getUint8(at);
  const code = view.getUint8(at + 1);
  const word = view.getUint32(at + 4);
  const error = ERRORS6[type];
  if (error !== undefined) return `${error} code=${code} ${word} quoted=${bytes.length - at - 8}`;
  switch (type) {
    case 128:
    case 129:
      return `${type === 128 ? 'echo' : 'echo-reply'} id=${word >>> 16} seq=${word & 0xffff} data=${bytes.length - at - 8}`;
    case 133:
      return ['rs', ...tellOptions(frame, at + 8)].join(' ');
    case 134: {
      const times = `reach=${view.getUint32(at + 8)} retrans=${view.getUint32(at + 12)}`;
      const fields = `ra hop=${view.getUint8(at + 4)} flags=${view.getUint8(at + 5)} life=${view.getUint16(at + 6)} ${times}`;
      return [fields, ...tellOptions(frame, at + 16)].join(' ');
    }
    case 135:
      return [`ns ${ip6At(frame, at + 8)}`, ...tellOptions(frame, at + 24)].join(' ');
    case 136: {
      const flags = `${word >>> 31 ? 'R' : ''}${(word >>> 30) & 1 ? 'S' : ''}${(word >>> 29) & 1 ? 'O' : ''}`;
      return [`na ${ip6At(frame, at + 8)} ${flags === '' ? '-' : flags}`, ...tellOptions(frame, at + 24)].join(' ');
    }
    case 137:
      return [`redirect ${ip6At(frame, at + 8)} for ${ip6At(frame, at + 24)}`, ...tellOptions(frame, at + 40)].join(
        ' ',
      );
    default:
      return MESSAGES6[type] ?? `icmp6 ${type}`;
  }
}

function tellOptions(frame: Frame, start: number): string[] {
  const { view, bytes } = frame;
  const words: string[] = [];
  for (let at = start; at + 8 <= bytes.length; ) {
    const kind = view.getUint8(at);
    const length = view.getUint8(at + 1) << 3;
    if (length === 0) return [...words, 'BADOPTION'];
    if (kind === 1 || kind === 2) words.push(`${kind === 1 ? 'slla' : 'tlla'}=${macAt(frame, at + 2)}`);
    else if (kind === 3) words.push(`prefix=${ip6At(frame, at + 16)}/${view.getUint8(at + 2)}`);
    else if (kind === 4) words.push(`quoted=${length - 8}`);
    else if (kind === 5) words.push(`mtu=${view.getUint32(at + 4)}`);
    else if (kind === 14) words.push('nonce');
    else words.push(`option=${kind}`);
    at += length;
  }
  return words;
}

function tellIp4(frame: Frame): string {
  const { view, bytes } = frame;
  const header = (view.getUint8(14) & 15) << 2;
  const words = [`${ip4At(frame, 26)} > ${ip4At(frame, 30)}`];
  if (checksum(bytes.subarray(14, 14 + header)) !== 0) words.push('BADHEADERSUM');
  if (view.getUint16(16) !== bytes.length - 14) words.push('BADLENGTH');
  if (header > 20) words.push(`options=${Array.from(bytes.subarray(34, 14 + header)).join('.')}`);
  const ttl = view.getUint8(22);
  if (ttl !== 64) words.push(`ttl=${ttl}`);
  const fragment = view.getUint16(20);
  const at = 14 + header;
  const protocol = view.getUint8(23);
  if ((fragment & 0x3fff) !== 0) {
    const more = (fragment & 0x2000) !== 0 ? '+' : '';
    words.push(`frag=${(fragment & 0x1fff) * 8}${more} id=${view.getUint16(18)} data=${bytes.length - at}`);
    return words.join(' ');
  }
  words.push(protocol === 1 ? tellIcmp4(frame, at) : protocol === 2 ? 'igmp' : tellUpper(frame, protocol, at));
  const front = [...bytes.subarray(26, 34), 0, protocol, ...u16(bytes.length - at)];
  const isBad =
    checksum(protocol === 1 || protocol === 2 ? bytes.subarray(at) : [...front, ...bytes.subarray(at)]) !== 0;
  if (isBad) words.push('BADSUM');
  return words.join(' ');
}

function tellIcmp4(frame: Frame, at: number): string {
  const { view, bytes } = frame;
  const type = view.getUint8(at);
  const word = view.getUint32(at + 4);
  const name = MESSAGES4[type] ?? `icmp ${type}`;
  const left = bytes.length - at - 8;
  if (type === 0 || type === 8) return `${name} id=${word >>> 16} seq=${word & 0xffff} data=${left}`;
  if (type === 5) return `redirect code=${view.getUint8(at + 1)} to ${ip4At(frame, at + 4)} quoted=${left}`;
  if (type === 14) return `${name} id=${word >>> 16} seq=${word & 0xffff}`;
  return `${name} code=${view.getUint8(at + 1)} ${word} quoted=${left}`;
}
