// The commands about a network's gateways. Of several the first one is meant, unless a port says which.

import { UsageError } from '../core/assert.ts';
import { type ForwardSpec, forwardOfJson, parseForward } from '../slirp/slirp.ts';
import { parseAddress } from '../stack/stack.ts';
import { type Command, command, num, type Parameter } from './command.ts';
import { flowsOf, forwardsOf, gatewayStatusOf, leasesOf } from './gateway-report.ts';
import type { GatewayView } from './gateway-view.ts';
import type { NodeView } from './node-view.ts';

const HOW = ['in', 'out', 'keep-source'];
const ID: Parameter = { name: 'id', kind: 'int', min: 0, max: 2 ** 31 };
const GATEWAY: Parameter = { name: 'gateway', kind: 'port', optional: true };
const GUEST: Parameter = { name: 'guest', kind: 'text', optional: true };

export const GATEWAY_COMMANDS: readonly Command[] = [
  command('gateway/status', [], 'gateways: addresses, guests, flows, leases, name servers and counters', (node) =>
    node.gateways.map(gatewayStatusOf),
  ),
  command(
    'forward/add',
    [{ name: 'spec', kind: 'text' }, { name: 'how', kind: 'text', optional: true }, GATEWAY],
    'lead a port of the host to a guest, or (how: out) a port in the network to a place of the host; how: keep-source',
    (node, v) => {
      const { id, text } = theGateway(node, v.gateway).gateway.addForward(
        specOf(String(v.spec), String(v.how ?? 'in')),
      );
      return { id, forward: text };
    },
  ),
  command('forward/list', [], 'forwards of the gateways', (node) => node.gateways.flatMap(forwardsOf)),
  command('forward/remove', [ID, GATEWAY], 'end a forward; its connections go on', (node, v) => {
    const id = num(v.id);
    const removed = theGateway(node, v.gateway).gateway.removeForward(id);
    if (!removed) throw new UsageError(`forward ${id} is not there; see forward/list`);
    return { id, forward: removed.text };
  }),
  command('flow/list', [GUEST], 'flows through the gateways, of all guests or of one', (node, v) => {
    const guest = v.guest === undefined ? undefined : addressOf('guest', String(v.guest));
    return node.gateways.flatMap((view) => flowsOf(view, guest));
  }),
  command('lease/list', [], 'who has which address: leases of the gateways', (node) => node.gateways.flatMap(leasesOf)),
  command(
    'name/add',
    [
      { name: 'name', kind: 'text' },
      { name: 'address', kind: 'text' },
    ],
    'a name for an address, in place of what the address was called before',
    (node, v) => {
      const name = String(v.name);
      if (!/^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/i.test(name)) {
        throw new UsageError(`name/add: '${name.slice(0, 80)}' is no host name; take letters, digits and -`);
      }
      nameServer(node).set(name.toLowerCase(), addressOf('address', String(v.address)));
    },
  ),
  command('name/remove', [{ name: 'address', kind: 'text' }], 'the address has no name any more', (node, v) =>
    nameServer(node).remove(addressOf('address', String(v.address))),
  ),
];

/** The one on that port, else the first. */
function theGateway(node: NodeView, port?: unknown): GatewayView {
  const found = node.gateways.find(({ number }) => port === undefined || number === port);
  if (found) return found;
  if (node.gateways.length > 0) {
    throw new UsageError(
      `port ${port} is no gateway; there are: ${node.gateways.map(({ number }) => number).join(', ')}`,
    );
  }
  throw new UsageError(`network '${node.network.name}' has no gateway; add one by: plug/add slirp://`);
}

function nameServer(node: NodeView): NonNullable<GatewayView['dns']> {
  const { dns } = node.gateways.find((view) => view.dns) ?? theGateway(node);
  if (dns) return dns;
  throw new UsageError(`the gateway of network '${node.network.name}' answers for no names (nodns)`);
}

/** As people write it, or a JSON object with the fields of a forward. */
function specOf(text: string, how: string): ForwardSpec {
  if (text.startsWith('{')) {
    try {
      return forwardOfJson(JSON.parse(text));
    } catch (error) {
      throw error instanceof SyntaxError ? new UsageError(`forward: '${text.slice(0, 80)}' is no JSON`) : error;
    }
  }
  if (!HOW.includes(how)) throw new UsageError(`forward/add: '${how.slice(0, 40)}'; take ${HOW.join(', ')}`);
  const spec = parseForward(how === 'out' ? 'out' : 'in', text);
  return how === 'keep-source' && !spec.keepsSource ? parseForward('in', `${text},keep-source`) : spec;
}

function addressOf(what: string, text: string): Int32Array {
  const address = parseAddress(text);
  if (address) return address;
  throw new UsageError(`${what} '${text.slice(0, 60)}': expected an address, such as 10.0.2.15 or fd00::15`);
}
