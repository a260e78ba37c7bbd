// Host and port, socket paths: the addresses inside a VNL, checked before anything is opened.

import { UsageError } from '../core/assert.ts';

/** The longest AF_UNIX path: sun_path is 108 bytes with its NUL. */
export const SOCKET_PATH_BYTES_MAX = 107;

/** A transport address. `host` is a name or a literal without brackets, empty if none was given. */
export interface HostPort {
  readonly host: string;
  /** 0 ... 65535; 0 lets the host choose when listening. */
  readonly port: number;
}

/** The two ends of a `udp://` plug. `local` is undefined if only the remote end was given. */
export interface UdpAddress {
  readonly local: HostPort | undefined;
  readonly remote: HostPort;
}

/** True if `text` begins like `host:port`, `:port` or `[v6]:port`; else it is a path. */
export const looksLikeHostPort = (text: string): boolean => /^(\[[^\]]*\]|[^/[\]:]*):[0-9]+(\/|$)/.test(text);

/** Reads `host:port`, `[v6]:port`, `:port` or `port`. Throws `UsageError`; `what` begins the message. */
export function parseHostPort(text: string, what: string): HostPort {
  const match = /^(?:\[([^\]]*)\]:|([^:[\]]*):)?([0-9]+)$/.exec(text);
  if (!match) throw new UsageError(`${what}: not an address: '${text}'; write host:port, [v6]:port or :port`);
  const port = Number(match[3]);
  if (port > 65535) throw new UsageError(`${what}: port ${match[3]} is out of range; take 0 ... 65535`);
  const host = match[1] ?? match[2] ?? '';
  const isBad = match[1] === undefined ? /[^\p{L}\p{N}._-]/u.test(host) : !/^[0-9a-fA-F:.]+(%[\w.-]+)?$/.test(host);
  if (isBad) throw new UsageError(`${what}: not a host: '${host}'; write a name, an IPv4 or an [IPv6] address`);
  return { host, port };
}

/** `host:port` as it is written, with brackets around IPv6. */
export const formatHostPort = ({ host, port }: HostPort): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

/** Reads `[local:port->]host:port`; with `remote`, `text` is the local end. Throws `UsageError`. */
export function parseUdpAddress(text: string, remote: string | undefined): UdpAddress {
  const arrow = text.indexOf('->');
  if (arrow >= 0 && remote !== undefined) {
    throw new UsageError(`udp: two remote ends, '${text.slice(arrow + 2)}' and '${remote}'; give one of them`);
  }
  const to = remote ?? (arrow >= 0 ? text.slice(arrow + 2) : text);
  const from = remote === undefined ? (arrow >= 0 ? text.slice(0, arrow) : undefined) : text;
  const address = parseHostPort(to, 'udp: remote end');
  if (address.port === 0) throw new UsageError(`udp: remote end: port 0 is out of range; take 1 ... 65535`);
  if (address.host === '') throw new UsageError(`udp: the remote end '${to}' has no host; write host:port`);
  return { local: from === undefined ? undefined : parseHostPort(from, 'udp: local end'), remote: address };
}

/** Throws `UsageError` if `path` cannot be the path of an AF_UNIX socket. */
export function checkSocketPath(path: string, what: string): void {
  const length = new TextEncoder().encode(path).length;
  if (length <= SOCKET_PATH_BYTES_MAX) return;
  throw new UsageError(
    `${what}: the path has ${length} bytes, a socket takes ${SOCKET_PATH_BYTES_MAX}; use a shorter or a relative one: ${path}`,
  );
}

/** True for addresses of this host only. A name is taken for what it says; an empty host is loopback by our default. */
export const isLoopback = (host: string): boolean =>
  host === '' || host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
