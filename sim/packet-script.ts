// The notation of wire-level TCP tests, which reads like a trace. Parsing only; script-runner.ts plays it.
//
//   ip6                                   header lines come first: ip4 (default) or ip6, `isn N` of the peer's first
//   tolerance .004                        sequence number (0), `tolerance S` for the times of what is expected (0)
//   +0      listen 80                     a call of the host; `= RESULT` behind it, else it must not fail
//   +0    < S  0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>       the peer sends
//   +0    > S. 0:0(0) ack 1 <...>         the host is to send; what is not written, or is `*`, is not compared
//   .5~.7 > . 1:1(0) ack 1                a time: `+S` after the last line, `S` since the start, `A~B` a range, `*` any
//   +0    > nothing for 1s                silence
//   +0    < icmp unreachable port         about the host's last segment; also `frag needed MTU`, `too-big MTU`, `time exceeded`
//   +0    < #2 [ect0] P. 1:11(10) ack 1   #N: connection N; [noecn] [ect0] [ect1] [ce]
//   +0      expect state ESTABLISHED      the call `state` returns that
//
// Sequence numbers count from each side's SYN; flags are S F R P . E W U; `//` and `#` at the start begin comments.
// Options: mss N, wscale N, sackOK, sack A:B …, TS val N ecr N, FO HEX, nop, eol. Calls that play a part in the notation:
// `listen PORT` and `connect PORT`. Times may carry s, ms or us.

import { Flag } from '../wire/tcp.ts';

/** A script that is none: `file:line: what`. */
export class ScriptError extends Error {
  override readonly name = 'ScriptError';
  readonly line: number;

  constructor(file: string, line: number, what: string) {
    super(`${file}:${line}: ${what}`);
    this.line = line;
  }
}

/** When: µs after the last line, or since the start; `any` is never compared. */
export interface ScriptTime {
  readonly isAbsolute: boolean;
  readonly isAny: boolean;
  readonly fromUs: number;
  readonly toUs: number;
}

/** An option; `undefined` among its numbers is `*`. */
export interface ScriptOption {
  readonly kind: 'mss' | 'wscale' | 'sackOK' | 'sack' | 'TS' | 'FO' | 'nop' | 'eol' | '*';
  readonly values: readonly (number | undefined)[];
}

/** A segment as written; `undefined` is not written or `*`. */
export interface ScriptSegment {
  readonly flow: number;
  readonly ecn: number | undefined;
  readonly flags: number | undefined;
  readonly seq: number | undefined;
  readonly payloadBytes: number | undefined;
  readonly ack: number | undefined;
  readonly window: number | undefined;
  readonly urgent: number | undefined;
  readonly options: readonly ScriptOption[] | undefined;
}

export type ScriptIcmp = 'net' | 'host' | 'protocol' | 'port' | 'prohibited' | 'too-big' | 'time';

export type ScriptAction =
  | { readonly kind: 'inject'; readonly segment: ScriptSegment }
  | { readonly kind: 'expect'; readonly segment: ScriptSegment }
  | { readonly kind: 'silence'; readonly us: number }
  | { readonly kind: 'icmp'; readonly error: ScriptIcmp; readonly mtu: number; readonly flow: number }
  | { readonly kind: 'call'; readonly words: readonly string[]; readonly result: string | undefined };

export interface ScriptLine {
  readonly number: number;
  readonly time: ScriptTime;
  readonly action: ScriptAction;
}

export interface Script {
  readonly file: string;
  readonly text: readonly string[];
  readonly isIp6: boolean;
  readonly isn: number;
  readonly toleranceUs: number;
  readonly lines: readonly ScriptLine[];
}

/** Throws `ScriptError` with the number of the first line that makes no sense. `file` is for messages. */
export function parseScript(source: string, file = 'script'): Script {
  const text = source.split('\n');
  const head = { isIp6: false, isn: 0, toleranceUs: 0 };
  const lines: ScriptLine[] = [];
  for (const [index, raw] of text.entries()) {
    const line = raw
      .replace(/^\s*#.*$/, '')
      .replace(/(^|\s)\/\/.*$/, '')
      .trim();
    try {
      if (line === '' || (lines.length === 0 && readHeader(line, head))) continue;
      lines.push({ number: index + 1, ...parseLine(line) });
    } catch (error) {
      if (error instanceof Mistake) throw new ScriptError(file, index + 1, error.message);
      throw error;
    }
  }
  return { file, text, ...head, lines };
}

class Mistake extends Error {}

const wrong = (what: string): never => {
  throw new Mistake(what);
};

function readHeader(line: string, head: { isIp6: boolean; isn: number; toleranceUs: number }): boolean {
  const [word, value = '', ...rest] = line.split(/\s+/);
  if (rest.length > 0) return false;
  if (word === 'ip4' || word === 'ip6') head.isIp6 = word === 'ip6';
  else if (word === 'isn') head.isn = whole(value, 'isn', 2 ** 32 - 1);
  else if (word === 'tolerance') head.toleranceUs = parseUs(value);
  else return false;
  return true;
}

function parseLine(line: string): Pick<ScriptLine, 'time' | 'action'> {
  const [, when, rest] = /^(\S+)\s+(.+)$/.exec(line) ?? wrong(`"${line}" is no time and action`);
  const time = parseTime(when!);
  const [, arrow, what] = /^([<>])\s*(.+)$/.exec(rest!) ?? ['', '', ''];
  if (arrow === '<') return { time, action: parseInjected(what!) };
  if (arrow === '>') return { time, action: parseExpected(what!) };
  return { time, action: parseCall(rest!) };
}

/** `1`, `.5`, `1s`, `200ms`, `10us` in whole µs. */
function parseUs(text: string): number {
  const [, digits, unit] = /^(\d+\.?\d*|\.\d+)(s|ms|us)?$/.exec(text) ?? wrong(`"${text}" is no time`);
  return Math.round(Number(digits) * (unit === 'us' ? 1 : unit === 'ms' ? 1e3 : 1e6));
}

function parseTime(text: string): ScriptTime {
  if (text === '*') return { isAbsolute: false, isAny: true, fromUs: 0, toUs: Infinity };
  const [from, to, ...more] = text.split('~');
  if (more.length > 0) wrong(`"${text}" is no range of times`);
  const isAbsolute = !from!.startsWith('+');
  const fromUs = parseUs(from!.replace(/^\+/, ''));
  const toUs = to === undefined ? fromUs : parseUs(to.replace(/^\+/, ''));
  if (toUs < fromUs) wrong(`"${text}" ends before it begins`);
  return { isAbsolute, isAny: false, fromUs, toUs };
}

function parseCall(text: string): ScriptAction {
  const [call, result, ...more] = text.split(/\s+=\s+/);
  if (more.length > 0) wrong('one result, behind one =');
  const words = call!.split(/\s+/);
  if (words[0] !== 'expect') return { kind: 'call', words, result };
  if (words.length < 3 || result !== undefined) wrong('expect CALL RESULT');
  return { kind: 'call', words: words.slice(1, -1), result: words.at(-1) };
}

function parseExpected(text: string): ScriptAction {
  const silence = /^nothing for (\S+)$/.exec(text);
  if (silence) return { kind: 'silence', us: parseUs(silence[1]!) };
  return { kind: 'expect', segment: parseSegment(text) };
}

function parseInjected(text: string): ScriptAction {
  const icmp = /^(?:#(\d+)\s+)?icmp\s+(.+)$/.exec(text);
  if (icmp) return { kind: 'icmp', flow: Number(icmp[1] ?? 1), ...parseIcmp(icmp[2]!) };
  const segment = parseSegment(text);
  if (segment.seq === undefined || segment.flags === undefined) wrong('what is sent has flags and numbers, not *');
  const isOpen = (option: ScriptOption): boolean =>
    option.kind === '*' || option.values.some((value, i) => value === undefined && !(option.kind === 'TS' && i === 1));
  if (segment.options?.some(isOpen)) wrong('an option that is sent has numbers; only ecr may be *');
  return { kind: 'inject', segment };
}

const UNREACHABLE: readonly string[] = ['net', 'host', 'protocol', 'port', 'prohibited'];

function parseIcmp(text: string): { error: ScriptIcmp; mtu: number } {
  const words = text.split(/\s+/);
  const [first, second] = words;
  if (first === 'unreachable' && words.length === 2 && UNREACHABLE.includes(second!)) {
    return { error: second as ScriptIcmp, mtu: 0 }; // one of UNREACHABLE
  }
  if (text === 'time exceeded') return { error: 'time', mtu: 0 };
  const big = /^(?:too-big|frag needed)\s+(\d+)$/.exec(text);
  if (big) return { error: 'too-big', mtu: whole(big[1]!, 'mtu', 65535) };
  return wrong(`"${text}" is no ICMP error`);
}

const ECN: Readonly<Record<string, number>> = { noecn: 0, ect1: 1, ect0: 2, ce: 3 };
export const FLAG_LETTERS: readonly (readonly [string, number])[] = [
  ['S', Flag.Syn],
  ['F', Flag.Fin],
  ['R', Flag.Rst],
  ['P', Flag.Psh],
  ['U', Flag.Urg],
  ['E', Flag.Ece],
  ['W', Flag.Cwr],
  ['.', Flag.Ack],
];
const HEAD = /^(?:#(\d+)\s+)?(?:\[(\w+)\]\s+)?(\S+)\s+(\*|(\d+):(\d+)\((\d+)\))\s*(.*)$/;

function parseSegment(text: string): ScriptSegment {
  const [, flow, ecn, flags, , seq, end, bytes, tail] = HEAD.exec(text) ?? wrong(`"${text}" is no segment`);
  if (ecn !== undefined && ECN[ecn] === undefined) wrong(`[${ecn}] is none of [noecn] [ect0] [ect1] [ce]`);
  if (seq !== undefined && Number(end) - Number(seq) !== Number(bytes)) wrong(`${seq}:${end} is not ${bytes} bytes`);
  const [, plain, options] = /^([^<]*?)\s*(?:<(.*)>)?$/.exec(tail!) ?? wrong(`"${tail}" is no end of a segment`);
  const numbers = parseNumbers(plain!);
  const flagBits = flags === '*' ? undefined : parseFlags(flags!);
  if (flagBits !== undefined && (flagBits & Flag.Ack) !== 0 && !numbers.has('ack'))
    wrong('a segment with . has an ack');
  return {
    flow: Number(flow ?? 1),
    ecn: ecn === undefined ? undefined : ECN[ecn],
    flags: flagBits,
    seq: seq === undefined ? undefined : Number(seq),
    payloadBytes: bytes === undefined ? undefined : Number(bytes),
    ack: numbers.get('ack'),
    window: numbers.get('win'),
    urgent: numbers.get('urg'),
    options: options === undefined || options === '...' ? undefined : parseOptions(options),
  };
}

function parseFlags(text: string): number {
  let bits = 0;
  for (const letter of text) {
    const [, bit] = FLAG_LETTERS.find(([known]) => known === letter) ?? wrong(`"${text}" are no flags`);
    bits |= bit;
  }
  return bits;
}

function parseNumbers(text: string): Map<string, number | undefined> {
  const words = text === '' ? [] : text.split(/\s+/);
  const numbers = new Map<string, number | undefined>();
  for (let i = 0; i < words.length; i += 2) {
    const key = words[i]!;
    if (!['ack', 'win', 'urg'].includes(key)) wrong(`"${key}" is none of ack win urg`);
    if (numbers.has(key)) wrong(`two ${key}`);
    numbers.set(key, open(words[i + 1] ?? '', key, key === 'ack' ? 2 ** 32 - 1 : 65535));
  }
  return numbers;
}

function whole(text: string, what: string, max: number): number {
  if (!/^\d+$/.test(text) || Number(text) > max) wrong(`${what}: "${text}" is no number 0 … ${max}`);
  return Number(text);
}

const open = (text: string, what: string, max = 2 ** 32 - 1): number | undefined =>
  text === '*' ? undefined : whole(text, what, max);

function parseOptions(text: string): ScriptOption[] {
  const parts = text.split(',').map((part) => part.trim());
  return parts.filter((part) => part !== '').map(parseOption);
}

function parseOption(text: string): ScriptOption {
  const words = text.split(/\s+/);
  const kind = words[0]!;
  const value = (): string => (words.length === 2 ? words[1]! : wrong(`"${text}" has one number`));
  switch (kind) {
    case 'nop':
    case 'eol':
    case 'sackOK':
    case '*':
      return words.length === 1 ? { kind, values: [] } : wrong(`${kind} stands alone`);
    case 'mss':
      return { kind, values: [open(value(), kind, 65535)] };
    case 'wscale':
      return { kind, values: [open(value(), kind, 255)] };
    case 'FO':
      return { kind, values: parseHex(words[1] ?? '') };
    case 'sack':
      return { kind, values: words.slice(1).flatMap(parseEdges) };
    case 'TS':
      if (words.length !== 5 || words[1] !== 'val' || words[3] !== 'ecr') wrong(`"${text}" is not TS val N ecr N`);
      return { kind, values: [open(words[2]!, 'val'), open(words[4]!, 'ecr')] };
    default:
      return wrong(`"${text}" is no option`);
  }
}

function parseEdges(text: string): (number | undefined)[] {
  const edges = text.split(':');
  return edges.length === 2 ? edges.map((edge) => open(edge, 'sack')) : wrong(`"${text}" are no two edges`);
}

function parseHex(text: string): number[] {
  if (!/^([0-9a-fA-F]{2})*$/.test(text)) wrong(`"${text}" is no hexadecimal cookie`);
  return (text.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16));
}
