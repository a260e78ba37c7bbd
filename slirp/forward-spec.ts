// Forwards in words: how they are written, and as JSON.
//
//   in    [tcp:|udp:][BIND:]PORT[-PORT]:GUEST:PORT[-PORT][,keep-source]    the host listens, and it leads to a guest
//         unix:/PATH:GUEST:PORT
//   out   [tcp:|udp:][BIND:]PORT[-PORT]:HOST:PORT[-PORT]                   the gateway listens in the network
//         [tcp:][BIND:]PORT:unix:/PATH

import { UsageError } from '../core/assert.ts';
import { type Address, formatAddress, isIp4, parseAddress } from '../stack/stack.ts';

/** A forward, as asked for. Addresses are text without brackets, in their shortest form. */
export interface ForwardSpec {
  /** `in`: to a guest. `out`: from the network to the host's side. */
  readonly direction: 'in' | 'out';
  readonly protocol: 'tcp' | 'udp';
  /** Where it listens: an address of the host (in) or of the gateway (out); '' for the loopback of the host or all that the gateway has. */
  readonly bind: string;
  /** First port that is listened to; 0 is one that is free (in), and for a Unix socket. */
  readonly port: number;
  /** How many ports, each led to the next one behind `hostPort`. */
  readonly ports: number;
  /** Where it leads: an address. '' if `path` is. */
  readonly host: string;
  readonly hostPort: number;
  /** A Unix socket: listened to (in), or led to (out); else ''. */
  readonly path: string;
  /** The guest sees the client's own address instead of the gateway's. */
  readonly keepsSource: boolean;
}

const PORT_MAX = 65535;
/** Ports of one forward. */
export const FORWARD_PORTS_MAX = 4096;
const PATH_BYTES_MAX = 107; // sun_path of Linux, with its zero
const FORMS = {
  in: '[tcp:|udp:][BIND:]PORT[-PORT]:GUEST:PORT or unix:/PATH:GUEST:PORT, such as 8080:10.0.2.15:80',
  out: '[tcp:|udp:]PORT[-PORT]:HOST:PORT or PORT:unix:/PATH, such as 5432:127.0.0.1:5432',
} as const;

type Direction = ForwardSpec['direction'];

/** Reads a forward. Throws `UsageError`. */
export function parseForward(direction: Direction, text: string): ForwardSpec {
  const wrong = (why: string): UsageError => new UsageError(`forward '${text.slice(0, 160)}': ${why}`);
  const keepsSource = text.endsWith(KEEP);
  const body = keepsSource ? text.slice(0, -KEEP.length) : text;
  const [, name, rest = ''] = /^(?:(tcp|udp):)?(.*)$/s.exec(body) ?? [];
  const draft = { direction, protocol: name === 'udp' ? 'udp' : 'tcp', keepsSource } as const;
  const parsed = direction === 'in' ? readIn(rest) : readOut(rest);
  if (!parsed) throw wrong(`expected ${FORMS[direction]}`);
  const { from, to } = parsed;
  const spec = { ...draft, bind: parsed.bind, host: parsed.host, path: parsed.path };
  const ports = { port: from.first, ports: from.last - from.first + 1, hostPort: to.first };
  if (to.last !== to.first && to.last - to.first !== from.last - from.first)
    throw wrong(`${ports.ports} ports lead to ${to.last - to.first + 1}: ranges have the same length`);
  return checked({ ...spec, ...ports }, wrong);
}

/** As `parseForward` reads it. */
export function formatForward(spec: ForwardSpec): string {
  const { direction, protocol, bind, port, ports, host, hostPort, path, keepsSource } = spec;
  const end = keepsSource ? KEEP : '';
  const range = (first: number): string => (ports > 1 ? `${first}-${first + ports - 1}` : `${first}`);
  const to = `${inBrackets(host)}:${range(hostPort)}`;
  if (path !== '' && direction === 'in') return `unix:${path}:${to}${end}`;
  const from = `${protocol}:${bind === '' ? '' : `${inBrackets(bind)}:`}${range(port)}`;
  return `${from}:${path === '' ? to : `unix:${path}`}${end}`;
}

/** Takes what came as JSON: the fields of `ForwardSpec`, of which all but `direction` and where it leads may be left out. Throws `UsageError`. */
export function forwardOfJson(value: unknown): ForwardSpec {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError('forward: expected an object');
  const wrong = (why: string): UsageError => new UsageError(`forward: ${why}`);
  const given = new Map(Object.entries(value));
  for (const key of given.keys())
    if (!JSON_KEYS.has(key)) throw wrong(`unknown key '${key.slice(0, 40)}'; known: ${[...JSON_KEYS].join(', ')}`);
  const text = (key: string): string => {
    const found = given.get(key) ?? '';
    if (typeof found !== 'string') throw wrong(`${key}: expected a text`);
    return found;
  };
  const number = (key: string, fallback: number): number => {
    const found = given.get(key) ?? fallback;
    if (typeof found !== 'number' || !Number.isInteger(found)) throw wrong(`${key}: expected a whole number`);
    return found;
  };
  const direction = text('direction');
  const protocol = text('protocol') || 'tcp';
  if (direction !== 'in' && direction !== 'out') throw wrong(`direction '${direction}': expected in or out`);
  if (protocol !== 'tcp' && protocol !== 'udp') throw wrong(`protocol '${protocol}': expected tcp or udp`);
  const keepsSource = given.get('keepsSource') ?? false;
  if (typeof keepsSource !== 'boolean') throw wrong('keepsSource: expected true or false');
  const bind = text('bind') === '' ? '' : addressText(text('bind'));
  const host = text('host') === '' ? '' : addressText(text('host'));
  if (bind === undefined) throw wrong(`bind '${text('bind')}': expected an address`);
  if (host === undefined) throw wrong(`host '${text('host')}': expected an address`);
  const ports = { port: number('port', 0), ports: number('ports', 1), hostPort: number('hostPort', 0) };
  return checked({ direction, protocol, bind, host, path: text('path'), keepsSource, ...ports }, wrong);
}

/** The words of an address in a forward; of '' those that stand for "not said". */
export function addressOf(text: string, unsaid: Address): Address {
  return text === '' ? unsaid : (parseAddress(text) ?? unsaid);
}

const KEEP = ',keep-source';
const JSON_KEYS: ReadonlySet<string> = new Set([
  'direction',
  'protocol',
  'bind',
  'port',
  'ports',
  'host',
  'hostPort',
  'path',
  'keepsSource',
]);

interface Range {
  readonly first: number;
  readonly last: number;
}

interface Parsed {
  readonly bind: string;
  readonly from: Range;
  readonly host: string;
  readonly to: Range;
  readonly path: string;
}

const NO_PORT: Range = { first: 0, last: 0 };

function readIn(text: string): Parsed | undefined {
  const unix = /^unix:(\/.*):(\[[^\]]*\]|[^:[\]]+):(\d+)$/s.exec(text);
  if (unix) return finish('', NO_PORT, unix[2]!, rangeOf(unix[3]!, 1), unix[1]!);
  return readPorts(text, 0);
}

function readOut(text: string): Parsed | undefined {
  const unix = /^(?:(\[[^\]]*\]|[^:[\]]+):)?(\d+):unix:(\/.*)$/s.exec(text);
  if (unix) return finish(unix[1] ?? '', rangeOf(unix[2]!, 1), '', NO_PORT, unix[3]!);
  return readPorts(text, 1);
}

/** `[BIND:]PORT[-PORT]:HOST:PORT[-PORT]`. */
function readPorts(text: string, portMin: number): Parsed | undefined {
  const parts = text.match(/\[[^\][]*\]|[^:[\]]+/g) ?? [];
  if ((parts.length !== 3 && parts.length !== 4) || parts.join(':') !== text) return undefined;
  const [bind, from, host, to] = parts.length === 3 ? ['', ...parts] : parts;
  return finish(bind!, rangeOf(from!, portMin), host!, rangeOf(to!, 1), '');
}

function finish(bind: string, from: Range | undefined, host: string, to: Range | undefined, path: string) {
  const bound = bind === '' ? '' : addressText(bind.replace(/^\[|\]$/g, ''));
  const led = host === '' ? '' : addressText(host.replace(/^\[|\]$/g, ''));
  if (!from || !to || bound === undefined || led === undefined) return undefined;
  return { bind: bound, from, host: led, to, path };
}

function rangeOf(text: string, min: number): Range | undefined {
  const [, a = '', b = a] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const first = Number(a);
  const last = Number(b);
  return a !== '' && first >= min && last >= first && last <= PORT_MAX ? { first, last } : undefined;
}

/** Shortest form; `localhost` is 127.0.0.1. Other names are nobody's to resolve here. */
function addressText(text: string): string | undefined {
  if (text === 'localhost') return '127.0.0.1';
  const address = parseAddress(text);
  return address && formatAddress(address);
}

function inBrackets(text: string): string {
  return text.includes(':') ? `[${text}]` : text;
}

/** What neither notation can say: bounds and combinations. */
function checked(spec: ForwardSpec, wrong: (why: string) => UsageError): ForwardSpec {
  const why = (spec.path === '' ? undefined : refusePath(spec)) ?? refusePorts(spec);
  if (why !== undefined) throw wrong(why);
  return spec;
}

function refusePath({ direction, protocol, bind, port, ports, host, hostPort, path, keepsSource }: ForwardSpec) {
  if (protocol === 'udp') return 'a Unix socket has streams, not datagrams';
  if (!path.startsWith('/') || path.includes('\0'))
    return `path '${path.slice(0, 80)}': expected one that begins with /`;
  if (utf8Bytes(path) > PATH_BYTES_MAX) return `a path of ${utf8Bytes(path)} bytes: at most ${PATH_BYTES_MAX}`;
  if (ports !== 1) return 'a Unix socket is one, not a range';
  if (keepsSource) return 'keep-source is for clients that have addresses';
  if (direction === 'in')
    return port !== 0 || bind !== '' ? 'it listens to a path or to a port, not to both' : undefined;
  return host !== '' || hostPort !== 0 ? 'it leads to a path or to an address, not to both' : undefined;
}

function refusePorts({ direction, port, ports, host, hostPort, path, keepsSource }: ForwardSpec): string | undefined {
  const leadsToPath = path !== '' && direction === 'out';
  if (!leadsToPath && (host === '' || isNowhere(host))) return `'${host}' is no address that it can lead to`;
  if (!(ports >= 1 && ports <= FORWARD_PORTS_MAX)) return `${ports} ports: expected 1 … ${FORWARD_PORTS_MAX}`;
  if (port === 0 && ports > 1) return 'port 0 is one that is free: no range begins there';
  const portMin = direction === 'in' ? 0 : 1;
  const hostMin = leadsToPath ? 0 : 1;
  if (!isPort(port, ports, portMin)) return `port ${port}: expected ${portMin} … ${PORT_MAX}`;
  if (!isPort(hostPort, ports, hostMin)) return `port ${hostPort}: expected ${hostMin} … ${PORT_MAX}`;
  return keepsSource && direction === 'out' ? 'keep-source is for forwards to guests' : undefined;
}

const isPort = (port: number, ports: number, min: number): boolean => port >= min && port + ports - 1 <= PORT_MAX;

const isNowhere = (host: string): boolean => host === '0.0.0.0' || host === '::';

function utf8Bytes(text: string): number {
  let bytes = 0;
  for (const char of text) {
    const code = char.codePointAt(0)!;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return bytes;
}

/** True if both ends have the same family, as `keepsSource` asks. */
export const isOneFamily = (a: Address, b: Address): boolean => isIp4(a) === isIp4(b);
