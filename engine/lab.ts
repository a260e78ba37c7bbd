// The lab file: which networks there are, their ports' VLANs, and the plugs in them.

import { isMap, isScalar, LineCounter, type Node, type Pair, parseDocument, type YAMLMap } from 'yaml';
import { UsageError } from '../core/assert.ts';
import { parseVnl } from '../plug/plug.ts';
import { addOption, type GatewayOptions } from './gateway-options.ts';
import { gatewaySettings } from './gateway-settings.ts';

/** A lab as it was read: everything in it was checked. */
export interface Lab {
  networks: {
    name: string;
    kind: 'switch' | 'hub';
    ports: number;
    mode: number;
    dirMode: number;
    ageSeconds?: number | undefined;
    gateway?: GatewayOptions | undefined;
  }[];
  plugs: { network: string; vnl: string; port?: number | undefined }[];
  /** Commands to run when everything is up, in order. */
  commands: { network: string; words: string[] }[];
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/;
const NETWORKS_MAX = 256;

/**
 * Reads a lab:
 *
 *     networks:
 *       office:
 *         ports: 64            # default 1024
 *         hub: false
 *         age: 300             # seconds
 *         gateway: true        # or { mtu: 9000, allow: ['127.0.0.1:5432'], … }
 *         plugs: ['udp://127.0.0.1:5000->127.0.0.1:5001']
 *         vlans:
 *           1: { access: 10 }
 *           3: { native: 0, tagged: [10, 20] }
 *
 * Throws `UsageError`: file, line, key, what was expected.
 */
export function readLab(text: string, file: string): Lab {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const reader = new Reader(file, lines);
  const [bad] = document.errors;
  if (bad) throw new UsageError(`${file}:${lines.linePos(bad.pos[0]).line}: ${bad.message}`);
  const root = reader.map(document.contents, undefined, 'a lab', ['networks']);
  const lab: Lab = { networks: [], plugs: [], commands: [] };
  const networks = reader.map(root.get('networks'), document.contents, "'networks'");
  if (networks.size === 0 || networks.size > NETWORKS_MAX) {
    throw reader.error(document.contents, `'networks' must name 1 … ${NETWORKS_MAX} networks`);
  }
  for (const [name, node] of networks) readNetwork(reader, lab, name, node);
  return lab;
}

function readNetwork(reader: Reader, lab: Lab, name: string, node: Node | null): void {
  if (!NAME.test(name))
    throw reader.error(node, `network '${name}': take letters, digits, . _ - and at most 32 of them`);
  const keys =
    node === null
      ? new Map()
      : reader.map(node, node, `network '${name}'`, ['ports', 'hub', 'age', 'gateway', 'plugs', 'vlans']);
  const ports = reader.int(keys.get('ports'), 'ports', 1, 4095) ?? 1024;
  lab.networks.push({
    name,
    kind: reader.flag(keys.get('hub'), 'hub') ? 'hub' : 'switch',
    ports,
    mode: 0o600,
    dirMode: 0o700,
    ageSeconds: reader.int(keys.get('age'), 'age', 1, 1_000_000),
    gateway: readGateway(reader, keys.get('gateway')),
  });
  for (const [vnl, at] of reader.texts(keys.get('plugs'), 'plugs')) {
    reader.within(at, () => parseVnl(vnl));
    lab.plugs.push({ network: name, vnl });
  }
  if (!keys.has('vlans')) return;
  for (const [port, config] of reader.map(keys.get('vlans')!, node, "'vlans'")) {
    if (!/^\d{1,4}$/.test(port) || Number(port) > ports)
      throw reader.error(config, `port '${port}' is out of range; take 0 … ${ports}`);
    lab.commands.push({ network: name, words: readVlan(reader, port, config) });
  }
}

/** `true`, or a mapping whose keys are the options of `slirp://`. */
function readGateway(reader: Reader, node: Node | null | undefined): GatewayOptions | undefined {
  if (!isMap(node)) return reader.flag(node, 'gateway', ', or a mapping of options') ? new Map() : undefined;
  const options = new Map<string, string>();
  for (const [key, value] of reader.map(node, node, "'gateway'")) {
    for (const text of valuesOf(reader, key, value)) {
      reader.within(value ?? node, () => addOption(options, 'gateway', key, text));
    }
  }
  reader.within(node, () => gatewaySettings(options, 'gateway'));
  return options;
}

/** The values that an option has: none for `false`, undefined for `true`; `NAME=VALUE` of a mapping. */
function valuesOf(reader: Reader, key: string, node: Node | null): (string | undefined)[] {
  if (isScalar(node) && typeof node.value === 'boolean') return node.value ? [undefined] : [];
  if (isScalar(node)) return [String(node.value)];
  if (!isMap(node)) return reader.texts(node, key).map(([text]) => text);
  return [...reader.map(node, node, `'${key}'`)].map(([name, value]) => {
    if (isScalar(value)) return `${name}=${value.value}`;
    throw reader.error(value, `'${key}': '${name}' must have a single value`);
  });
}

function readVlan(reader: Reader, port: string, node: Node | null): string[] {
  const keys = reader.map(node, node, `port ${port}`, ['access', 'native', 'tagged']);
  const access = reader.int(keys.get('access'), 'access', 1, 4094);
  if (access !== undefined) {
    if (keys.size > 1) throw reader.error(node, `port ${port}: 'access' excludes 'native' and 'tagged'`);
    return ['port/access', port, String(access)];
  }
  const native = reader.int(keys.get('native'), 'native', 0, 4095) ?? 0;
  const tagged = reader.texts(keys.get('tagged'), 'tagged').map(([vid, at]) => {
    const [, low = 0, high = low] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(vid) ?? [];
    if (Number(low) >= 1 && Number(high) >= Number(low) && Number(high) <= 4094) return vid;
    throw reader.error(at, `'tagged' takes VLANs 1 … 4094 and ranges as 10-20, not '${vid.slice(0, 40)}'`);
  });
  return ['port/trunk', port, String(native), ...tagged];
}

/** Typed access to YAML nodes; every complaint has the file and line. */
class Reader {
  private readonly file: string;
  private readonly lines: LineCounter;

  constructor(file: string, lines: LineCounter) {
    this.file = file;
    this.lines = lines;
  }

  error(at: Node | null | undefined, text: string): UsageError {
    const offset = at?.range?.[0] ?? 0;
    return new UsageError(`${this.file}:${this.lines.linePos(offset).line}: ${text}`);
  }

  /** Runs `check`, adding the place to its complaint. */
  within(at: Node, check: () => unknown): void {
    try {
      check();
    } catch (error) {
      throw error instanceof UsageError ? this.error(at, error.message) : error;
    }
  }

  /** The keys of a mapping; with `known`, no others. */
  map(
    node: unknown,
    parent: Node | null | undefined,
    what: string,
    known?: readonly string[],
  ): Map<string, Node | null> {
    if (!isMap(node))
      throw this.error((node as Node | undefined) ?? parent, `${what} must be a mapping of keys to values`);
    const out = new Map<string, Node | null>();
    for (const pair of (node as YAMLMap).items as Pair<Node, Node | null>[]) {
      const key = String(isScalar(pair.key) ? pair.key.value : pair.key);
      if (known && !known.includes(key))
        throw this.error(pair.key, `${what} has no key '${key}'; there are: ${known.join(', ')}`);
      out.set(key, pair.value);
    }
    return out;
  }

  int(node: Node | null | undefined, key: string, min: number, max: number): number | undefined {
    if (node === undefined) return undefined;
    const value = isScalar(node) ? node.value : undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    throw this.error(node, `'${key}' must be a whole number, ${min} … ${max}`);
  }

  flag(node: Node | null | undefined, key: string, others = ''): boolean {
    if (node === undefined) return false;
    if (isScalar(node) && typeof node.value === 'boolean') return node.value;
    throw this.error(node, `'${key}' must be true or false${others}`);
  }

  texts(node: Node | null | undefined, key: string): [string, Node][] {
    if (node === undefined) return [];
    const items = (node as { items?: unknown[] } | null)?.items;
    if (!items || isMap(node)) throw this.error(node, `'${key}' must be a list`);
    return (items as Node[]).map((item) => {
      if (!isScalar(item)) throw this.error(item, `'${key}' must be a list of single values`);
      return [String(item.value), item];
    });
  }
}
