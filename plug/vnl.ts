// The grammar of VNLs: `scheme://args{inner://...}` to a value and back.

import { assert, UsageError } from '../core/assert.ts';
import { checkSocketPath, looksLikeHostPort, parseHostPort, parseUdpAddress } from './address.ts';
import { bytesOf, checkOption, durationUsOf } from './option.ts';
import { type Form, SCHEMES, type Scheme } from './schemes.ts';

const VNL_CHARS_MAX = 65536;
const NESTED_MAX = 8;

/** The name of a plug: how to get into a network. Everything in it is decoded and checked against its scheme. */
export interface Vnl {
  readonly scheme: string;
  /** How the text was written: `either` became `path` or `host`. */
  readonly form: Exclude<Form, 'either'>;
  /** The path, the `host:port`, the name; of a command its first word. Empty if it was left out. */
  readonly address: string;
  /** The further words of a command; else empty. */
  readonly words: readonly string[];
  /** What was given, as text; a flag is ''. */
  readonly options: ReadonlyMap<string, string>;
  readonly nested: Vnl | undefined;
}

/**
 * Reads a VNL. A text without `scheme://` means `vde://`. Quotes '...' and "...", `\x` and `%XX` (UTF-8) are decoded; what they
 * protect never separates. Throws `UsageError`: one line with what, the value, the range and the next step.
 *
 * @example parseVnl('stream:///run/user/1000/lab.sock[listen]')
 */
export function parseVnl(text: string, schemes: Readonly<Record<string, Scheme>> = SCHEMES): Vnl {
  if (text.length > VNL_CHARS_MAX) throw new UsageError(`vnl: ${text.length} characters; at most ${VNL_CHARS_MAX}`);
  refuseControls(text);
  return parseAt(text, schemes, 0);
}

// Every message is one line and no path has them, however they are written.
function refuseControls(text: string): void {
  if (/\p{Cc}/u.test(text)) throw new UsageError(`vnl: a control character in: ${JSON.stringify(text)}; leave it out`);
}

function parseAt(text: string, schemes: Readonly<Record<string, Scheme>>, depth: number): Vnl {
  if (depth > NESTED_MAX) throw new UsageError(`vnl: nested deeper than ${NESTED_MAX}`);
  if (text === '') throw new UsageError('vnl: empty; write scheme://args or the directory of a switch');
  const head = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(text);
  const scheme = head ? head[1]!.toLowerCase() : 'vde';
  if (!Object.hasOwn(schemes, scheme)) {
    throw new UsageError(`vnl: unknown scheme '${scheme}'; known: ${Object.keys(schemes).join(', ')}`);
  }
  const rules = schemes[scheme]!;
  const raw = head ? text.slice(head[0].length) : text;
  const chars = decode(raw, scheme);
  let nested: Vnl | undefined;
  let length = chars.text.length;
  if (rules.form !== 'words') {
    const open = chars.find('{', 0, length);
    if (open >= 0) {
      nested = parseInner(raw, chars, open, scheme, rules, schemes, depth);
      length = open;
    }
  }
  const vnl = { scheme, nested, ...readArgs(chars, length, scheme, rules) };
  checkAddress(vnl, rules);
  return vnl;
}

/** Characters with the quotes taken off, and which of them still have a meaning in the grammar. */
class Chars {
  text = '';
  readonly isPlain: boolean[] = [];
  readonly rawAt: number[] = [];

  add(text: string, isPlain: boolean, rawAt: number): void {
    for (let i = 0; i < text.length; i++) {
      this.isPlain.push(isPlain);
      this.rawAt.push(rawAt);
    }
    this.text += text;
  }

  /** Where the unprotected character `c` first stands in `from ... to - 1`, or -1. */
  find(c: string, from: number, to: number): number {
    for (let i = from; i < to; i++) if (this.isPlain[i] && this.text[i] === c) return i;
    return -1;
  }
}

function decode(raw: string, scheme: string): Chars {
  const out = new Chars();
  let quote = '';
  for (let i = 0; i < raw.length; ) {
    const c = raw[i]!;
    if (c === quote) {
      quote = '';
      i++;
    } else if (quote === '' && (c === "'" || c === '"')) {
      quote = c;
      i++;
    } else {
      i += decodeOne(raw, i, quote, out, scheme);
    }
  }
  if (quote !== '') throw new UsageError(`${scheme}: a ${quote} without its end in: ${raw}`);
  refuseControls(out.text);
  return out;
}

/** Decodes the character, the `\x` or the run of `%XX` at `i`; returns how many characters it took. */
function decodeOne(raw: string, i: number, quote: string, out: Chars, scheme: string): number {
  const c = raw[i]!;
  if (c === '\\' && quote !== "'") {
    if (i + 1 === raw.length) throw new UsageError(`${scheme}: '\\' at the end of '${raw}'; write \\\\ for one`);
    out.add(raw[i + 1]!, false, i);
    return 2;
  }
  const run = c === '%' && quote === '' ? /^(?:%[0-9a-fA-F]{2})+/.exec(raw.slice(i, i + 3 * 256)) : null;
  if (run) {
    out.add(decodePercent(run[0], scheme), false, i);
    return run[0].length;
  }
  out.add(c, quote === '', i);
  return 1;
}

function decodePercent(run: string, scheme: string): string {
  const bytes = Uint8Array.from(run.slice(1).split('%'), (hex) => Number.parseInt(hex, 16));
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new UsageError(`${scheme}: ${run} is not UTF-8; write %25 for a percent sign`);
  }
}

function parseInner(
  raw: string,
  chars: Chars,
  open: number,
  scheme: string,
  rules: Scheme,
  schemes: Readonly<Record<string, Scheme>>,
  depth: number,
): Vnl {
  const last = chars.text.length - 1;
  let level = 0;
  let closedAt = -1;
  for (let i = open; i <= last; i++) {
    if (!chars.isPlain[i]) continue;
    if (chars.text[i] === '{') level++;
    if (chars.text[i] === '}' && --level === 0 && closedAt < 0) closedAt = i;
  }
  if (level !== 0 || closedAt !== last) {
    throw new UsageError(`${scheme}: braces do not match in '${raw}'; write outer://args{inner://args}`);
  }
  if (!rules.nests) throw new UsageError(`${scheme}: takes no nested VNL; quote the '{' if it belongs to the address`);
  return parseAt(raw.slice(chars.rawAt[open]! + 1, chars.rawAt[last]!), schemes, depth + 1);
}

type Args = Pick<Vnl, 'form' | 'address' | 'words' | 'options'>;

function readArgs(chars: Chars, length: number, scheme: string, rules: Scheme): Args {
  const { text } = chars;
  if (rules.form === 'words') return readWords(chars, length);
  const form = rules.form === 'either' ? (looksLikeHostPort(text.slice(0, length)) ? 'host' : 'path') : rules.form;
  const options = new Map<string, string>();
  if (form === 'host') {
    const end = addressEnd(chars, length, rules);
    if (end < length) readOptions(chars, end + 1, length, scheme, rules, options);
    return { form, address: text.slice(0, end), words: [], options };
  }
  const open = chars.find(form === 'name' ? '/' : '[', 0, length);
  if (open < 0) return { form, address: text.slice(0, length), words: [], options };
  if (form === 'name') {
    readOptions(chars, open + 1, length, scheme, rules, options);
  } else {
    if (chars.find(']', open, length) !== length - 1) {
      throw new UsageError(`${scheme}: '${text.slice(open, length)}' does not end in ']'; write path[key=value/flag]`);
    }
    readOptions(chars, open + 1, length - 1, scheme, rules, options);
  }
  return { form, address: text.slice(0, open), words: [], options };
}

/** Splits at unprotected blanks. There are no empty words. */
function readWords(chars: Chars, length: number): Args {
  const words: string[] = [];
  let word = '';
  for (let i = 0; i < length; i++) {
    const isBlank = chars.isPlain[i] && /\s/.test(chars.text[i]!);
    if (!isBlank) word += chars.text[i];
    if (word !== '' && (isBlank || i === length - 1)) {
      words.push(word);
      word = '';
    }
  }
  return { form: 'words', address: words[0] ?? '', words: words.slice(1), options: new Map() };
}

/** Where the options begin: at the first segment that is one. Before it, a `/` belongs to the path of a URL. */
function addressEnd(chars: Chars, length: number, rules: Scheme): number {
  const hasPath = rules.address?.endsWith('[/path]') ?? false;
  for (let slash = chars.find('/', 0, length); slash >= 0; slash = chars.find('/', slash + 1, length)) {
    const next = chars.find('/', slash + 1, length);
    const segment = chars.text.slice(slash + 1, next < 0 ? length : next);
    const equals = chars.find('=', slash + 1, next < 0 ? length : next);
    const isOption = rules.options[segment]?.kind === 'flag' || (equals >= 0 && !segment.includes('?'));
    if (!hasPath || isOption) return slash;
  }
  return length;
}

function readOptions(
  chars: Chars,
  from: number,
  to: number,
  scheme: string,
  rules: Scheme,
  options: Map<string, string>,
): void {
  for (let at = from; at <= to; ) {
    const slash = chars.find('/', at, to);
    const end = slash < 0 ? to : slash;
    const isPrefix = rules.hasPrefixes && options.size > 0 && /[0-9]/.test(chars.text[at] ?? '');
    if (isPrefix) continueOption(chars.text.slice(at, end), options);
    else if (end > at) readOption(chars, at, end, scheme, rules, options);
    at = end + 1;
  }
}

/** The slash was the one of `10.0.2.0/24`. */
function continueOption(text: string, options: Map<string, string>): void {
  const [key, value] = [...options].at(-1)!;
  options.set(key, `${value}/${text}`);
}

function readOption(
  chars: Chars,
  at: number,
  end: number,
  scheme: string,
  rules: Scheme,
  options: Map<string, string>,
): void {
  const equals = chars.find('=', at, end);
  let key = chars.text.slice(at, equals < 0 ? end : equals);
  let value = equals < 0 ? undefined : chars.text.slice(equals + 1, end);
  if (value === undefined && rules.positional !== undefined && /^[0-9]+$/.test(key)) {
    value = key;
    key = rules.positional;
  }
  const before = options.get(key);
  const isList = rules.options[key]?.kind === 'list';
  if (before !== undefined && !isList) throw new UsageError(`${scheme}: option '${key}' given twice; give it once`);
  checkOption(scheme, rules, key, value);
  options.delete(key); // the last one given is the last in the map
  options.set(key, before === undefined ? (value ?? '') : `${before},${value}`);
}

/** What each scheme wants of its address. */
function checkAddress(vnl: Vnl, rules: Scheme): void {
  const { scheme, address } = vnl;
  if (rules.address === undefined) {
    const next = Object.keys(rules.options).length > 0 ? `${scheme}:///option` : `${scheme}://`;
    if (address !== '') throw new UsageError(`${scheme}: takes no address, got '${address}'; write ${next}`);
    return;
  }
  if (address === '') {
    if (rules.addressOptional) return;
    throw new UsageError(`${scheme}: no address; write ${scheme}:// and ${rules.address}`);
  }
  if (scheme === 'udp') parseUdpAddress(address, vnl.options.get('remote'));
  else if (vnl.form === 'host') checkHost(vnl);
  else if (scheme === 'stream' || scheme === 'ptp') checkSocketPath(address, scheme);
  else if (scheme === 'vde' || scheme === 'switch' || scheme === 'hub') checkSocketPath(`${address}/ctl`, scheme);
  else if (scheme === 'tap' && !/^[^\s/:]{1,15}$/.test(address)) {
    throw new UsageError(`tap: '${address}' cannot name an interface; 1 ... 15 characters without / : and blanks`);
  } else if (scheme === 'seqpacket' && !/^[0-9]{1,6}$/.test(address)) {
    throw new UsageError(`seqpacket: '${address}' is not a descriptor number; write seqpacket://3`);
  }
}

function checkHost(vnl: Vnl): void {
  const slash = vnl.address.indexOf('/');
  const { host, port } = parseHostPort(slash < 0 ? vnl.address : vnl.address.slice(0, slash), vnl.scheme);
  if (isListener(vnl)) return;
  if (port === 0) throw new UsageError(`${vnl.scheme}: port 0 is out of range; take 1 ... 65535`);
  if (host === '') throw new UsageError(`${vnl.scheme}: no host in '${vnl.address}'; write host:port, or add /listen`);
}

/** True if the plug waits for others instead of connecting. */
export const isListener = (vnl: Vnl): boolean => vnl.options.has('listen') || vnl.options.has('server');

/** The value of a whole-number option, or `fallback`. */
export function intOption(vnl: Vnl, key: string, fallback: number): number {
  const text = vnl.options.get(key);
  return text === undefined ? fallback : Number(text);
}

/** The value of a size option in bytes, or `fallback`. */
export function bytesOption(vnl: Vnl, key: string, fallback: number): number {
  const text = vnl.options.get(key);
  return text === undefined ? fallback : bytesOf(text);
}

/** The value of a duration in µs, or `fallback`. */
export function durationUsOption(vnl: Vnl, key: string, fallback: number): number {
  const text = vnl.options.get(key);
  return text === undefined ? fallback : durationUsOf(text);
}

/** The value of a mode option (written in octal), or `fallback`. */
export function modeOption(vnl: Vnl, key: string, fallback: number): number {
  const text = vnl.options.get(key);
  return text === undefined ? fallback : Number.parseInt(text, 8);
}

const escapeText = (text: string, special: RegExp): string => text.replace(special, (c) => `\\${c}`);
const SPECIAL = /[\\%'"{}[\]/=\s]/g;
const SPECIAL_IN_ADDRESS = { path: /[\\%'"{}[\]]/g, host: /[\\%'"{}=]/g, name: SPECIAL, words: /[\\%'"\s]/g };

/** The text that `parseVnl` reads as an equal value. */
export function formatVnl(vnl: Vnl): string {
  const options = [...vnl.options].map(([key, value]) =>
    value === '' && SCHEMES[vnl.scheme]?.options[key]?.kind === 'flag' ? key : `${key}=${escapeText(value, SPECIAL)}`,
  );
  const address = escapeText(vnl.address, SPECIAL_IN_ADDRESS[vnl.form]);
  const nested = vnl.nested ? `{${formatVnl(vnl.nested)}}` : '';
  const head = `${vnl.scheme}://${address}`;
  if (vnl.form === 'words')
    return [head, ...vnl.words.map((word) => escapeText(word, SPECIAL_IN_ADDRESS.words))].join(' ');
  if (options.length === 0) return head + nested;
  assert(
    options.every((option) => option !== ''),
    'an option without a name',
  );
  return vnl.form === 'path' ? `${head}[${options.join('/')}]${nested}` : `${head}/${options.join('/')}${nested}`;
}
