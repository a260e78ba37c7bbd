// Forwards and names of a gateway, as commands change them: by words.

import { UsageError } from '../core/assert.ts';
import { type ForwardSpec, forwardOfJson, parseForward } from '../slirp/slirp.ts';
import { type Address, parseAddress } from '../stack/stack.ts';
import { forwardsOf, type GatewayParts } from './gateway-report.ts';
import type { ForwardTable, NameTable } from './gateway-view.ts';

const HOW = ['in', 'out', 'keep-source'];

export const forwardTable = (parts: GatewayParts): ForwardTable => ({
  add: (spec, how) => {
    const { id, text } = parts.gateway.addForward(specOf(spec, how));
    return { id, forward: text };
  },
  remove: (id) => {
    const removed = parts.gateway.removeForward(id);
    return removed && { id, forward: removed.text };
  },
  list: () => forwardsOf(parts),
});

export function nameTable({ dns }: GatewayParts): NameTable {
  const server = (): NonNullable<typeof dns> => {
    if (dns) return dns;
    throw new UsageError('the gateway answers for no names (nodns)');
  };
  return {
    add: (name, address) => {
      if (!/^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/i.test(name)) {
        throw new UsageError(`name '${name.slice(0, 80)}' is no host name; take letters, digits and -`);
      }
      server().set(name.toLowerCase(), addressOf('address', address));
    },
    remove: (address) => server().remove(addressOf('address', address)),
  };
}

/** Reads what a command names. Throws `UsageError`. */
export function addressOf(what: string, text: string): Address {
  const address = parseAddress(text);
  if (address) return address;
  throw new UsageError(`${what} '${text.slice(0, 60)}': expected an address, such as 10.0.2.15 or fd00::15`);
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
