// Which schemes there are and which options each takes: the one table that the grammar, the help and the errors read.

/** How the text after `://` is read. */
export type Form = 'path' | 'host' | 'either' | 'words' | 'name';

/** What an option's value must be. A `flag` has no value; a `list` has several, with commas or given again. */
export type Kind =
  | { readonly kind: 'flag' | 'text' | 'mode' | 'list' }
  | { readonly kind: 'int' | 'bytes' | 'duration'; readonly min: number; readonly max: number };

/** One scheme. */
export interface Scheme {
  /** `path[key=val/flag]`, `addr/key=val/flag`, either of them, a command's words, or a single name. */
  readonly form: Form;
  /** What the address is, for errors; undefined if the scheme takes none. */
  readonly address: string | undefined;
  /** True if the address may be left out. */
  readonly addressOptional?: boolean;
  /** The option that `[7]` stands for. */
  readonly positional?: string;
  /** True if the scheme wraps another plug: `outer://args{inner://...}`. */
  readonly nests?: boolean;
  /** True if a segment that begins with a digit belongs to the value before it: `net=10.0.2.0/24`. */
  readonly hasPrefixes?: boolean;
  readonly options: Readonly<Record<string, Kind>>;
}

const FLAG: Kind = { kind: 'flag' };
const TEXT: Kind = { kind: 'text' };
const LIST: Kind = { kind: 'list' };
const MODE: Kind = { kind: 'mode' };
const int = (min: number, max: number): Kind => ({ kind: 'int', min, max });
const bytes = (min: number, max: number): Kind => ({ kind: 'bytes', min, max });

const QUEUE = { queue: bytes(65536, 64 << 20) }; // what a port holds for a peer that reads slowly
const CLIENTS = { clients: int(1, 1024) };
const STREAM = { listen: FLAG, once: FLAG, plain: FLAG, ...QUEUE, ...CLIENTS };
const TRUST = { cert: TEXT, key: TEXT, ca: TEXT, fingerprint: TEXT, servername: TEXT };
const WEB = { listen: FLAG, once: FLAG, token: TEXT, open: FLAG, origin: TEXT, host: TEXT, ...QUEUE, ...CLIENTS };
const DIRECTORY = {
  mode: MODE,
  dirmode: MODE,
  group: TEXT,
  ports: int(1, 4095),
  hashsize: int(1, 1 << 24), // stations
  expiretime: int(1, 1_000_000), // seconds
};

/** Of a gateway: what each means stands in docs/vnl.md, what it must look like in engine/gateway-settings.ts. */
const GATEWAY = {
  net: TEXT,
  gateway: TEXT,
  dns: TEXT,
  net6: TEXT,
  gateway6: TEXT,
  dns6: TEXT,
  mac: TEXT,
  mtu: int(1280, 65521),
  domain: TEXT,
  search: LIST,
  allow: LIST,
  deny: LIST,
  restrict: FLAG,
  forward: LIST,
  reverse: LIST,
  bind: LIST,
  filtering: TEXT,
  nat64: FLAG,
  prefix64: TEXT,
  servers: LIST,
  hosts: LIST,
  pool: TEXT,
  reserve: LIST,
  leases: TEXT,
  leasetime: int(120, 31_536_000), // seconds
  boot: TEXT,
  bootserver: TEXT,
  nodns: FLAG,
  nodhcp: FLAG,
  nora: FLAG,
  tcpflows: int(1, 65536),
  udpflows: int(1, 65536),
};

/** Every scheme that a VNL may name. Keys match exactly; what is not listed is refused. */
export const SCHEMES: Readonly<Record<string, Scheme>> = {
  vde: {
    form: 'path',
    address: 'the directory of a switch',
    addressOptional: true,
    positional: 'port',
    options: { port: int(0, 65535), group: TEXT, mode: MODE, portgroup: TEXT, descr: TEXT },
  },
  switch: { form: 'path', address: 'a directory', addressOptional: true, options: DIRECTORY },
  hub: { form: 'path', address: 'a directory', addressOptional: true, options: DIRECTORY },
  stream: {
    form: 'either',
    address: 'a socket path or host:port',
    options: { ...STREAM, server: FLAG, mode: MODE },
  },
  tcp: { form: 'host', address: 'host:port', options: STREAM },
  tls: { form: 'host', address: 'host:port', options: { ...STREAM, ...TRUST } },
  udp: { form: 'host', address: '[local:port->]host:port', options: { remote: TEXT, ...QUEUE } },
  ws: { form: 'host', address: 'host:port[/path]', options: WEB },
  wss: { form: 'host', address: 'host:port[/path]', options: { ...WEB, ...TRUST } },
  tap: { form: 'name', address: 'an interface name', options: {} },
  cmd: { form: 'words', address: 'a command', options: {} },
  stdio: { form: 'name', address: undefined, options: {} },
  null: { form: 'name', address: undefined, options: {} },
  ptp: { form: 'path', address: 'a socket path', options: { mode: MODE } },
  seqpacket: { form: 'name', address: 'a descriptor number', options: {} },
  slirp: { form: 'name', address: undefined, hasPrefixes: true, options: GATEWAY },
  pcap: { form: 'path', address: 'a file', options: { replay: FLAG } },
};
