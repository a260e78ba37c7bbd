// The text of resolv.conf(5): who is asked for names, and which domains are tried.

import { type Address, isAnyAddress, isIp4, isLinkLocal, parseAddress } from '../stack/stack.ts';

/** A name server of the host's side. */
export interface NameServerAddress {
  /**
   * Of a link-local IPv6 address the number of its interface is in bytes 2 and 3, which are zero on the wire (RFC 4291 §2.5.6), as
   * BSD's kernels keep it.
   */
  readonly address: Address;
  readonly port: number;
}

/** What a text says, as far as a forwarder needs it. `options` are for who waits for names: we have our own. */
export interface ResolvConf {
  readonly servers: readonly NameServerAddress[];
  readonly search: readonly string[];
}

const PORT = 53;
const SERVERS_MAX = 8;
const SEARCH_MAX = 32;
const IFACE_MAX = 0xffff;

/** Reads a text; lines that are none do not count. `ifaceOf` gives the number of an interface by name, 0 if there is none. */
export function parseResolvConf(text: string, ifaceOf: (name: string) => number): ResolvConf {
  const servers: NameServerAddress[] = [];
  let search: readonly string[] = [];
  for (const line of text.split('\n')) {
    if (/^\s*[#;]/.test(line)) continue;
    const [key = '', ...values] = line.trim().split(/\s+/);
    if (key === 'nameserver') {
      const address = addressOf(values[0] ?? '', ifaceOf);
      const isKnown = address && servers.some((one) => one.address.join() === address.join());
      if (address && !isKnown && servers.length < SERVERS_MAX) servers.push({ address, port: PORT });
    } else if (key === 'search' || key === 'domain') {
      // The last of them counts, resolv.conf(5).
      search = values
        .map((name) => name.replace(/\.$/, ''))
        .filter((name) => name !== '')
        .slice(0, SEARCH_MAX);
    }
  }
  return { servers, search };
}

/** An address, perhaps with `%` and its interface; undefined if it is none that can be asked. */
function addressOf(text: string, ifaceOf: (name: string) => number): Address | undefined {
  const [plain = '', scope] = text.split('%', 2);
  const address = parseAddress(plain);
  if (!address) return undefined;
  // This host, to glibc.
  if (isAnyAddress(address)) return parseAddress(isIp4(address) ? '127.0.0.1' : '::1');
  if (isIp4(address) || !isLinkLocal(address)) return address;
  if (scope === undefined) return undefined;
  const iface = /^\d+$/.test(scope) ? Number(scope) : ifaceOf(scope);
  if (iface < 1 || iface > IFACE_MAX) return undefined;
  address[0] = (address[0]! & ~IFACE_MAX) | iface;
  return address;
}
