// Every command of a running node, once: the control socket, `weft ctl`, rc files and `help` read this table.

import { UsageError } from '../core/assert.ts';
import { type Command, command, num, type Parameter, type Values } from './command.ts';
import { GATEWAY_COMMANDS } from './gateway-commands.ts';
import { parseMac, textOfMac } from './mac.ts';
import type { NodeView } from './node-view.ts';
import { listing, metricsText, statusOf } from './report.ts';

const PORT: Parameter = { name: 'port', kind: 'port' };
const VID: Parameter = { name: 'vid', kind: 'vid' };

export const COMMANDS: readonly Command[] = [
  command('help', [], 'this list', () => COMMANDS.map((c) => ({ command: usage(c), help: c.help }))),
  command('status', [], 'networks, their ports and how long they are up', (node) => statusOf(node)),
  command('metrics', [], 'counters in the Prometheus text format', (node) => metricsText(node)),
  command('port/list', [], 'ports with what is attached, counters, drops and VLANs', (node) => listing(node.network)),
  command('port/access', [PORT, VID], 'untagged frames only, all in one VLAN', (node, v) =>
    node.switch.setAccess(num(v.port), num(v.vid)),
  ),
  command(
    'port/trunk',
    [
      PORT,
      { name: 'native', kind: 'int', min: 0, max: 4095 },
      { name: 'vids', kind: 'text', optional: true, rest: true },
    ],
    'tagged VLANs (all by default) and the VLAN of untagged frames: 0 none, 4095 drops them',
    (node, v) => node.switch.setTrunk(num(v.port), { native: num(v.native), allowed: vids(v.vids as string[]) }),
  ),
  command('port/all', [PORT], 'everything passes as it is: the default', (node, v) =>
    node.switch.setTrunkAll(num(v.port)),
  ),
  command('port/block', [PORT], 'take nothing from the port and send nothing to it', (node, v) =>
    node.switch.setBlocked(num(v.port), true),
  ),
  command('port/unblock', [PORT], 'undo port/block', (node, v) => node.switch.setBlocked(num(v.port), false)),
  command('port/close', [PORT], 'disconnect what is attached', (node, v) => {
    const ends = node.network.ends[num(v.port)] ?? [];
    if (ends.length === 0) throw new UsageError(`port ${v.port}: nothing is attached; see port/list`);
    for (const end of [...ends]) node.disconnect(end);
    return ends.length;
  }),
  command(
    'port/storm',
    [
      PORT,
      { name: 'broadcast', kind: 'int', min: 0, max: 10_000_000 },
      { name: 'multicast', kind: 'int', min: 0, max: 10_000_000, optional: true },
      { name: 'unknown', kind: 'int', min: 0, max: 10_000_000, optional: true },
    ],
    'most frames a second that the port may send to everybody; 0 is no limit',
    (node, v) =>
      node.switch.setStorm(num(v.port), {
        broadcastPps: num(v.broadcast),
        multicastPps: num(v.multicast ?? 0),
        unknownPps: num(v.unknown ?? 0),
      }),
  ),
  command('vlan/add', [VID, PORT], 'the port carries the VLAN tagged', (node, v) =>
    node.switch.addTagged(num(v.vid), num(v.port)),
  ),
  command('vlan/remove', [VID, PORT], 'it no longer does', (node, v) =>
    node.switch.removeTagged(num(v.vid), num(v.port)),
  ),
  command('hub', [{ name: 'on', kind: 'flag' }], 'repeat every frame to every port', (node, v) =>
    node.switch.setHub(v.on === true),
  ),
  command(
    'mirror',
    [
      { name: 'from', kind: 'text' },
      { name: 'to', kind: 'port' },
      { name: 'direction', kind: 'text', optional: true },
    ],
    "show the frames of a port, or of 'all', on another one; direction: ingress, egress or both",
    (node, v) => {
      const direction = String(v.direction ?? 'both');
      if (direction !== 'ingress' && direction !== 'egress' && direction !== 'both') {
        throw new UsageError(`mirror: direction '${direction}'; take ingress, egress or both`);
      }
      const from = v.from === 'all' ? 'all' : portOf(node, String(v.from));
      node.switch.setMirror({ from, direction, to: num(v.to) });
    },
  ),
  command('mirror/off', [], 'no mirror', (node) => node.switch.clearMirror()),
  command('fdb/list', [], 'stations: MAC, VLAN, port, age in seconds', (node) =>
    [...node.switch.fdb.entries(node.nowUs())].map((e) => ({
      mac: textOfMac(e.mac),
      vid: e.vid,
      port: e.port,
      age: Math.round(e.ageUs / 1_000_000),
      ...(e.isStatic ? { static: true } : {}),
    })),
  ),
  command(
    'fdb/find',
    [
      { name: 'mac', kind: 'mac' },
      { ...VID, optional: true },
    ],
    'where a station is',
    (node, v) => {
      const found = node.switch.fdb.find(num(v.mac), num(v.vid ?? 0), node.nowUs());
      return found ? { port: found.port, age: Math.round(found.ageUs / 1_000_000) } : null;
    },
  ),
  command(
    'fdb/add',
    [{ name: 'mac', kind: 'mac' }, PORT, { ...VID, optional: true }],
    'a station that never moves',
    (node, v) => node.switch.fdb.addStatic(num(v.mac), num(v.vid ?? 0), num(v.port)),
  ),
  command(
    'fdb/remove',
    [
      { name: 'mac', kind: 'mac' },
      { ...VID, optional: true },
    ],
    'forget a station',
    (node, v) => node.switch.fdb.remove(num(v.mac), num(v.vid ?? 0)),
  ),
  command('fdb/flush', [], 'forget all stations that were learned', (node) => node.switch.fdb.flush()),
  command(
    'fdb/age',
    [{ name: 'seconds', kind: 'int', min: 1, max: 1_000_000 }],
    'forget silent stations after',
    (node, v) => node.switch.setAge(num(v.seconds) * 1_000_000),
  ),
  command('plug/list', [], 'plugs that this node opened', (node) => node.plugs()),
  command(
    'plug/add',
    [
      { name: 'vnl', kind: 'text' },
      { ...PORT, optional: true },
    ],
    'open a plug into the network',
    (node, v) => node.addPlug(String(v.vnl), v.port === undefined ? undefined : num(v.port)),
  ),
  command('plug/remove', [{ name: 'id', kind: 'int', min: 1, max: 2 ** 31 }], 'close a plug', (node, v) =>
    node.removePlug(num(v.id)),
  ),
  ...GATEWAY_COMMANDS,
  command('shutdown', [], 'end the node', (node) => node.shutdown()),
];

const BY_NAME = new Map(COMMANDS.map((c) => [c.name, c]));

/** `name <port> [vid]`. */
export function usage({ name, parameters }: Command): string {
  const words = parameters.map((p) => (p.optional ? `[${p.name}${p.rest ? '…' : ''}]` : `<${p.name}>`));
  return [name, ...words].join(' ');
}

/** Finds, checks and runs one command given as words. Throws `UsageError` with one line. */
export function execute(node: NodeView, words: readonly string[]): unknown {
  const [name = '', ...args] = words;
  const found = BY_NAME.get(name);
  if (!found) throw new UsageError(`unknown command '${name.slice(0, 40)}'; 'help' lists them`);
  return found.run(node, readValues(node, found, args));
}

function readValues(node: NodeView, found: Command, args: readonly string[]): Values {
  const values: Record<string, string | number | boolean | readonly string[] | undefined> = {};
  const { parameters } = found;
  let i = 0;
  for (const parameter of parameters) {
    if (parameter.rest) {
      values[parameter.name] = args.slice(i);
      i = args.length;
    } else if (i < args.length) values[parameter.name] = readValue(node, found.name, parameter, args[i++]!);
    else if (!parameter.optional)
      throw new UsageError(`${found.name}: <${parameter.name}> is missing; usage: ${usage(found)}`);
  }
  if (i < args.length)
    throw new UsageError(`${found.name}: '${args[i]!.slice(0, 40)}' is too much; usage: ${usage(found)}`);
  return values;
}

function readValue(node: NodeView, name: string, parameter: Parameter, text: string): string | number | boolean {
  switch (parameter.kind) {
    case 'text':
      return text;
    case 'flag':
      return flag(name, parameter.name, text);
    case 'mac':
      return parseMac(text);
    case 'port':
      return portOf(node, text);
    case 'vid':
      return int(parameter.name, text, 0, 4094);
    case 'int':
      return int(parameter.name, text, parameter.min ?? 0, parameter.max ?? Number.MAX_SAFE_INTEGER);
  }
}

const portOf = (node: NodeView, text: string): number => int('port', text, 0, node.network.portsMax - 1);

function int(what: string, text: string, min: number, max: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max))
    throw new UsageError(`${what} '${text.slice(0, 40)}' is out of range; take ${min} … ${max}`);
  return value;
}

function flag(name: string, what: string, text: string): boolean {
  if (text === '1' || text === 'on' || text === 'true') return true;
  if (text === '0' || text === 'off' || text === 'false') return false;
  throw new UsageError(`${name}: ${what} '${text.slice(0, 40)}'; take on or off`);
}

/** Lists and ranges of VIDs, each once. A list that names more than there are is refused before it is unrolled. */
function vids(words: readonly string[]): 'all' | number[] {
  if (words.length === 0 || words[0] === 'all') return 'all';
  const found = new Set<number>();
  let named = 0;
  for (const part of words.flatMap((word) => word.split(','))) {
    const [low = '', high = low] = part.split('-');
    const from = int('vid', low, 1, 4094);
    const to = int('vid', high, from, 4094);
    named += to - from + 1;
    if (named > 4094) throw new UsageError('vids: more than 4094 are named; name each once');
    for (let vid = from; vid <= to; vid++) found.add(vid);
  }
  return [...found];
}
