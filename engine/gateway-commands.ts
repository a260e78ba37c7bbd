// The commands about a network's gateways. Of several the first one is meant, unless a port says which.

import { UsageError } from '../core/assert.ts';
import { type Command, command, num, type Parameter } from './command.ts';
import type { GatewayView } from './gateway-view.ts';
import type { NodeView } from './node-view.ts';

const ID: Parameter = { name: 'id', kind: 'int', min: 0, max: 2 ** 31 };
const GATEWAY: Parameter = { name: 'gateway', kind: 'port', optional: true };
const GUEST: Parameter = { name: 'guest', kind: 'text', optional: true };

export const GATEWAY_COMMANDS: readonly Command[] = [
  command('gateway/status', [], 'gateways: addresses, guests, flows, leases, name servers and counters', (node) =>
    node.gateways.map((view) => view.status()),
  ),
  command(
    'forward/add',
    [{ name: 'spec', kind: 'text' }, { name: 'how', kind: 'text', optional: true }, GATEWAY],
    'lead a port of the host to a guest, or (how: out) a port in the network to a place of the host; how: keep-source',
    (node, v) => theGateway(node, v.gateway).forwards.add(String(v.spec), String(v.how ?? 'in')),
  ),
  command('forward/list', [], 'forwards of the gateways', (node) => node.gateways.flatMap((v) => v.forwards.list())),
  command('forward/remove', [ID, GATEWAY], 'end a forward; its connections go on', (node, v) => {
    const removed = theGateway(node, v.gateway).forwards.remove(num(v.id));
    if (removed) return removed;
    throw new UsageError(`forward ${v.id} is not there; see forward/list`);
  }),
  command('flow/list', [GUEST], 'flows through the gateways, of all guests or of one', (node, v) =>
    node.gateways.flatMap((view) => view.flows(v.guest === undefined ? undefined : String(v.guest))),
  ),
  command('lease/list', [], 'who has which address: leases of the gateways', (node) =>
    node.gateways.flatMap((view) => view.leases()),
  ),
  command(
    'name/add',
    [
      { name: 'name', kind: 'text' },
      { name: 'address', kind: 'text' },
    ],
    'a name for an address, in place of what the address was called before',
    (node, v) => theGateway(node).names.add(String(v.name), String(v.address)),
  ),
  command('name/remove', [{ name: 'address', kind: 'text' }], 'the address has no name any more', (node, v) =>
    theGateway(node).names.remove(String(v.address)),
  ),
];

/** The one on that port, else the first. */
function theGateway(node: NodeView, port?: unknown): GatewayView {
  const found = node.gateways.find(({ number }) => port === undefined || number === port);
  if (found) return found;
  if (node.gateways.length > 0) {
    throw new UsageError(
      `port ${port} is no gateway; there are: ${node.gateways.map((view) => view.number).join(', ')}`,
    );
  }
  throw new UsageError(`network '${node.network.name}' has no gateway; add one by: plug/add slirp://`);
}
