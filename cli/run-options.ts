// The options of `weft run`, up to the program and its arguments.

import { createHash, randomBytes } from 'node:crypto';
import { basename } from 'node:path';
import { UsageError } from '../core/assert.ts';
import { type Prefixed, parseAddress, parseMac, parsePrefixed } from './address.ts';

export const RUN_USAGE = `usage: weft run [options] [--] CMD [ARG ...]

Runs CMD unmodified inside a network, in a network namespace of its own, without root.

  --net NET          the network: a name, a directory or a vde:// VNL (default: $WEFT_NET, else 'default')
  --ip ADDRESS/P     an address of CMD's device, IPv4 or IPv6; may be repeated
                     (default: what the network's gateway leases, with its routes and its name server)
  --gw ADDRESS       the default gateway; one per address family
  --dns ADDRESS      a name server that CMD asks in place of the host's; may be repeated
  --no-dns           leave names to the host's name servers, whatever the network offers
  --mac MAC          the device's MAC address (default: derived from --name, else random)
  --mtu BYTES        68 to 65521 (default: what the gateway says, else 1500)
  --name NAME        what the port is called in listings (default: CMD)
  --device KIND      tap, veth or auto (default): a TAP where /dev/net/tun can be opened, else a veth pair
  --wait SECONDS     how long to wait for a network that is not up yet (default 0)
`;

const MTU_MIN = 68; // RFC 791: every module must forward 68 octets
const MTU_MAX = 65521; // 65,535 bytes of frame less the Ethernet header
const MTU_DEFAULT = 1500;
const NAME_LENGTH_MAX = 64;
const ADDRESSES_MAX = 32;
const SERVERS_MAX = 3; // MAXNS of the C library: it asks no more
const WAIT_SECONDS_MAX = 86_400;

export type DeviceKind = 'tap' | 'veth' | 'auto';
const DEVICES: readonly string[] = ['tap', 'veth', 'auto'] satisfies DeviceKind[];

export interface RunOptions {
  net: string | undefined;
  addresses: Prefixed[];
  gateways: Uint8Array[];
  /** Name servers by address; undefined: those of the lease. */
  dns: string[] | undefined;
  mac: Uint8Array;
  mtu: number;
  isMtuGiven: boolean;
  name: string;
  device: DeviceKind;
  waitSeconds: number;
  command: string[];
}

/** The options, or `help`. Throws `UsageError`. */
export function parseRunOptions(argv: readonly string[]): RunOptions | 'help' {
  const words = splitWords(argv);
  if (words === 'help') return 'help';
  const { given, command } = words;
  if (!command[0]) throw new UsageError('run: no program given; see: weft run --help');
  const options: RunOptions = { ...defaults(), command };
  for (const [option, values] of given) {
    if (values.length > 1 && !REPEATABLE.has(option)) throw new UsageError(`run: ${option} was given twice`);
    for (const value of values) READERS[option]!(options, value);
  }
  if (given.has('--dns') && given.has('--no-dns')) throw new UsageError('run: --dns and --no-dns exclude each other');
  if (!given.has('--mac')) options.mac = defaultMac(options.name);
  options.name ||= basename(command[0])
    .replace(/[^A-Za-z0-9._-]/g, '_')
    .slice(0, NAME_LENGTH_MAX);
  return options;
}

interface Words {
  given: Map<string, string[]>;
  command: string[];
}

/** Options with their values, and what begins behind `--` or at the first word that is no option. */
function splitWords(argv: readonly string[]): Words | 'help' {
  const given = new Map<string, string[]>();
  let at = 0;
  for (; argv[at]?.startsWith('-'); at++) {
    const word = argv[at]!;
    if (word === '--') return { given, command: argv.slice(at + 1) };
    if (word === '-h' || word === '--help') return 'help';
    const [option, attached] = splitOption(word);
    if (FLAGS.has(option) && attached !== undefined) throw new UsageError(`run: ${option} takes no value`);
    const value = FLAGS.has(option) ? '' : (attached ?? argv[++at]);
    if (!Object.hasOwn(READERS, option)) throw new UsageError(`run: unknown option '${option}'; see: weft run --help`);
    if (value === undefined) throw new UsageError(`run: ${option} needs a value; see: weft run --help`);
    given.set(option, [...(given.get(option) ?? []), value]);
  }
  return { given, command: argv.slice(at) };
}

const defaults = (): Omit<RunOptions, 'command'> => ({
  net: undefined,
  addresses: [],
  gateways: [],
  dns: undefined,
  mac: new Uint8Array(6),
  mtu: MTU_DEFAULT,
  isMtuGiven: false,
  name: '',
  device: 'auto',
  waitSeconds: 0,
});

const REPEATABLE: ReadonlySet<string> = new Set(['--ip', '--gw', '--dns']);
const FLAGS: ReadonlySet<string> = new Set(['--no-dns']);

const READERS: Readonly<Record<string, (options: RunOptions, value: string) => void>> = {
  '--net': (options, value) => {
    options.net = value;
  },
  '--ip': (options, value) => {
    const address = parsePrefixed(value);
    if (!address) throw expected('--ip', value, 'ADDRESS/PREFIX, such as 10.0.0.2/24 or fd00::2/64');
    if (options.addresses.length === ADDRESSES_MAX) throw new UsageError(`run: more than ${ADDRESSES_MAX} --ip`);
    options.addresses.push(address);
  },
  '--gw': (options, value) => {
    const gateway = parseAddress(value);
    if (!gateway) throw expected('--gw', value, 'an address, such as 10.0.0.1');
    if (options.gateways.some((other) => other.length === gateway.length)) {
      throw new UsageError(`run: --gw ${value}: only one gateway per address family`);
    }
    options.gateways.push(gateway);
  },
  '--dns': (options, value) => {
    if (!parseAddress(value)) throw expected('--dns', value, 'the address of a name server, such as 10.0.0.1');
    if (options.dns?.length === SERVERS_MAX) throw new UsageError(`run: more than ${SERVERS_MAX} --dns`);
    options.dns = [...(options.dns ?? []), value];
  },
  '--no-dns': (options) => {
    options.dns = [];
  },
  '--mac': (options, value) => {
    const mac = parseMac(value);
    if (!mac) throw expected('--mac', value, 'the MAC address of one station, such as 02:00:00:00:00:01');
    options.mac = mac;
  },
  '--mtu': (options, value) => {
    options.mtu = wholeNumber('--mtu', value, { min: MTU_MIN, max: MTU_MAX });
    options.isMtuGiven = true;
  },
  '--name': (options, value) => {
    if (!/^[A-Za-z0-9._-]{1,64}$/.test(value)) throw expected('--name', value, 'up to 64 letters, digits and . _ -');
    options.name = value;
  },
  '--device': (options, value) => {
    if (!isDeviceKind(value)) throw expected('--device', value, DEVICES.join(', '));
    options.device = value;
  },
  '--wait': (options, value) => {
    options.waitSeconds = wholeNumber('--wait', value, { min: 0, max: WAIT_SECONDS_MAX });
  },
};

const isDeviceKind = (text: string): text is DeviceKind => DEVICES.includes(text);

function splitOption(word: string): [string, string | undefined] {
  const equals = word.indexOf('=');
  return equals < 0 ? [word, undefined] : [word.slice(0, equals), word.slice(equals + 1)];
}

const expected = (option: string, value: string, what: string): UsageError =>
  new UsageError(`run: ${option} '${value}': expected ${what}`);

function wholeNumber(option: string, value: string, { min, max }: { min: number; max: number }): number {
  const number = /^\d{1,9}$/.test(value) ? Number(value) : -1;
  if (number < min || number > max) throw expected(option, value, `a whole number from ${min} to ${max}`);
  return number;
}

/** Locally administered: the same for the same name, so that neighbours and leases survive a restart; else random. */
function defaultMac(name: string): Uint8Array {
  const mac = new Uint8Array(name ? createHash('sha256').update(name).digest().subarray(0, 6) : randomBytes(6));
  mac[0] = (mac[0]! & 0xfc) | 0x02;
  return mac;
}
