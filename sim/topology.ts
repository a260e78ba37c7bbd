// The shapes of networks that scenarios want: functions that ask a factory for the nodes and join them.

import { assert } from '../core/assert.ts';
import type { Link, LinkOptions } from './link.ts';
import type { SimPort } from './sim-port.ts';
import { newSwitchNode, type SwitchNode } from './switch-node.ts';
import type { SimNode, World } from './world.ts';

/** Makes the ports of the node called `name`: 1 for a host, more for a router. They live in the world's slab. */
export type NodeFactory = (world: World, name: string, ports: number) => readonly SimPort[];

/** Two nodes and a link. */
export interface Joined {
  readonly a: SimNode;
  readonly b: SimNode;
  readonly link: Link;
}

/** `a`, `b` and a link between them. */
export function pair(world: World, make: NodeFactory, options: LinkOptions = {}): Joined {
  const a = world.node('a', make(world, 'a', 1));
  const b = world.node('b', make(world, 'b', 1));
  return { a, b, link: world.link(a, b, options) };
}

/** `a`, routers `r1` … `r<routers>` and `b` in a row. A router's port 0 faces `a`. */
export function chain(
  world: World,
  make: NodeFactory,
  { routers, link }: { routers: number; link: LinkOptions | ((hop: number) => LinkOptions) },
): { readonly nodes: readonly SimNode[]; readonly links: readonly Link[] } {
  const names = ['a', ...Array.from({ length: routers }, (_, i) => `r${i + 1}`), 'b'];
  const last = names.length - 1;
  const nodes = names.map((name, i) => world.node(name, make(world, name, i === 0 || i === last ? 1 : 2)));
  const optionsOf = typeof link === 'function' ? link : () => link;
  const links: Link[] = [];
  for (let hop = 0; hop < last; hop++) {
    const from = { node: nodes[hop]!, port: hop === 0 ? 0 : 1 };
    links.push(world.link(from, nodes[hop + 1]!, optionsOf(hop)));
  }
  return { nodes, links };
}

/** Stations `s1` … around a switch called `switch`; station k is at the switch's port k - 1. */
export function star(
  world: World,
  make: NodeFactory,
  { stations, link = {}, hub = false }: { stations: number; link?: LinkOptions; hub?: boolean },
): { readonly stations: readonly SimNode[]; readonly links: readonly Link[]; readonly center: SwitchNode } {
  assert(stations > 0, 'a star has stations');
  const center = newSwitchNode(world.slab, { portsMax: stations, hub });
  const middle = world.node('switch', center.ports);
  const nodes = Array.from({ length: stations }, (_, i) => world.node(`s${i + 1}`, make(world, `s${i + 1}`, 1)));
  const links = nodes.map((node, port) => world.link(node, { node: middle, port }, link));
  return { stations: nodes, links, center };
}

/**
 * Senders `a1` …, a router `r0`, the bottleneck, a router `r1`, receivers `b1` …. Port 0 of both routers is at the
 * bottleneck, port k faces node number k.
 */
export function dumbbell(
  world: World,
  make: NodeFactory,
  { pairs, access, bottleneck }: { pairs: number; access: LinkOptions; bottleneck: LinkOptions },
): {
  readonly senders: readonly SimNode[];
  readonly receivers: readonly SimNode[];
  readonly routers: readonly [SimNode, SimNode];
  readonly bottleneck: Link;
} {
  const routers = [
    world.node('r0', make(world, 'r0', pairs + 1)),
    world.node('r1', make(world, 'r1', pairs + 1)),
  ] as const;
  const side = (letter: string): SimNode[] =>
    Array.from({ length: pairs }, (_, i) => world.node(`${letter}${i + 1}`, make(world, `${letter}${i + 1}`, 1)));
  const senders = side('a');
  const receivers = side('b');
  for (let i = 0; i < pairs; i++) {
    world.link(senders[i]!, { node: routers[0], port: i + 1 }, access);
    world.link({ node: routers[1], port: i + 1 }, receivers[i]!, access);
  }
  return { senders, receivers, routers, bottleneck: world.link(routers[0], routers[1], bottleneck) };
}
