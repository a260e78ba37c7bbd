// What a node says of itself: listings as plain values, counters as Prometheus text.

import { DROP_NAMES } from '../core/drop.ts';
import { Switch } from '../switch/switch.ts';
import type { Metric } from './gateway-view.ts';
import type { Attachment, Network } from './network.ts';
import type { NodeView } from './node-view.ts';

/** One line per network. */
export function statusOf(node: NodeView): object {
  return {
    version: node.version,
    pid: node.pid,
    uptime: Math.round((node.nowUs() - node.startedUs) / 1_000_000),
    networks: [...node.networks].map((network) => ({
      name: network.name,
      directory: node.directoryOf(network),
      ports: network.portsMax - 1,
      attached: attachedTo(network),
      refused: network.refused,
      ...stationsOf(network),
      ...gatewaysOf(node, network),
    })),
  };
}

/** Of its `ports`, which do not count the management port. */
const attachedTo = (network: Network): number =>
  [...network.attachments()].filter(({ number }) => number > 0 || network.portsMax === 2).length;

function gatewaysOf(node: NodeView, network: Network): object {
  const gateways = node.gatewaysOf(network).map((view) => view.status());
  return gateways.length > 0 ? { gateways } : {};
}

function stationsOf({ forwarder }: Network): object {
  if (!(forwarder instanceof Switch)) return {};
  const { fdb, mirror } = forwarder;
  return {
    stations: fdb.count,
    stationsMax: fdb.entriesMax,
    tableFull: fdb.tableFull,
    moves: fdb.moves,
    ...(mirror ? { mirror } : {}),
  };
}

/** One line per attached port. */
export function listing(network: Network): object[] {
  return [...network.attachments()].map((attachment) => {
    const { port, number, info, isCongested, pauses } = attachment;
    const { counters } = port;
    const state = pauses > 0 ? 'paused' : isCongested ? 'congested' : 'up';
    return {
      port: number,
      kind: info.kind,
      description: info.description,
      uid: info.uid,
      pid: info.pid,
      state,
      offload: port.takesOffload,
      ...vlansOf(attachment),
      rx: { frames: counters.rxFrames, bytes: counters.rxBytes },
      tx: { frames: counters.txFrames, bytes: counters.txBytes },
      drops: counters.drops.byName(),
    };
  });
}

function vlansOf({ network, number }: Attachment): object {
  if (!(network.forwarder instanceof Switch)) return {};
  const { pvid, tagged } = network.forwarder.vlansOf(number);
  return pvid === 0 && tagged === 'all' ? {} : { pvid, tagged };
}

/** The text exposition format, version 0.0.4. */
export function metricsText(node: NodeView): string {
  const lines: string[] = [];
  const family = (name: string, type: string, help: string, rows: readonly string[]): void => {
    if (rows.length > 0) lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...rows);
  };
  const ports = [...node.networks].flatMap((network) => [...network.attachments()]);
  const each = (name: string, value: (attachment: Attachment) => number): string[] =>
    ports.map((attachment) => `${name}{${labels(attachment)}} ${value(attachment)}`);
  family('weft_info', 'gauge', 'The running version.', [`weft_info{version="${node.version}"} 1`]);
  family('weft_uptime_seconds', 'gauge', 'Seconds since the start.', [
    `weft_uptime_seconds ${(node.nowUs() - node.startedUs) / 1_000_000}`,
  ]);
  for (const [direction, frames, bytes] of [
    ['received', 'rxFrames', 'rxBytes'],
    ['sent', 'txFrames', 'txBytes'],
  ] as const) {
    const name = `weft_port_${direction}`;
    const what = direction === 'received' ? 'from' : 'to';
    family(
      `${name}_frames_total`,
      'counter',
      `Frames ${what} the port.`,
      each(`${name}_frames_total`, (a) => a.port.counters[frames]),
    );
    family(
      `${name}_bytes_total`,
      'counter',
      `Bytes ${what} the port.`,
      each(`${name}_bytes_total`, (a) => a.port.counters[bytes]),
    );
  }
  family('weft_port_drops_total', 'counter', 'Frames that went no further, by reason.', ports.flatMap(dropRows));
  const networks = [...node.networks];
  const refused = networks.map((n) => `weft_refused_total{network="${quote(n.name)}"} ${n.refused}`);
  family('weft_refused_total', 'counter', 'Those who came for a port and left without one.', refused);
  const switches = networks.filter((network) => network.forwarder instanceof Switch);
  for (const [name, type, help, value] of STATIONS) {
    family(
      name,
      type,
      help,
      switches.map((n) => `${name}{network="${quote(n.name)}"} ${value(n.forwarder as Switch)}`),
    );
  }
  for (const { name, type, help, rows } of gatewayFamilies(node)) family(name, type, help, rows);
  return `${lines.join('\n')}\n`;
}

/** Counters of all gateways, by family. */
function gatewayFamilies(node: NodeView): (Omit<Metric, 'rows'> & { rows: string[] })[] {
  const families = new Map<string, Omit<Metric, 'rows'> & { rows: string[] }>();
  for (const network of node.networks) {
    for (const view of node.gatewaysOf(network)) {
      const label = `network="${quote(network.name)}",port="${view.number}"`;
      for (const { rows, ...head } of view.metrics()) {
        const family = families.get(head.name) ?? { ...head, rows: [] };
        families.set(head.name, family);
        for (const [more, value] of rows) family.rows.push(`${head.name}{${label}${more && `,${more}`}} ${value}`);
      }
    }
  }
  return [...families.values()];
}

const STATIONS: readonly [string, string, string, (s: Switch) => number][] = [
  ['weft_stations', 'gauge', 'Stations in the forwarding database.', (s) => s.fdb.count],
  ['weft_stations_full_total', 'counter', 'Stations that found the database full.', (s) => s.fdb.tableFull],
  ['weft_station_moves_total', 'counter', 'Stations that moved to another port.', (s) => s.fdb.moves],
];

function dropRows(attachment: Attachment): string[] {
  const { counts } = attachment.port.counters.drops;
  const rows: string[] = [];
  for (let reason = 1; reason < counts.length; reason++) {
    if (counts[reason] === 0) continue;
    rows.push(`weft_port_drops_total{${labels(attachment)},reason="${DROP_NAMES[reason]}"} ${counts[reason]}`);
  }
  return rows;
}

const labels = ({ network, number, info, id }: Attachment): string =>
  `network="${quote(network.name)}",port="${number}",kind="${info.kind}",id="${id}"`;

const quote = (text: string): string => text.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`));
