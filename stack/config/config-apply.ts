// A configuration is carried out in one order, whatever the order of its words: undo, link, addresses, routes, names, automatisms.

import type { Address } from '../address.ts';
import { type Config, Feature, type Prefix } from './config.ts';

/** Properties of the link that were said; what was not said is missing. */
export interface LinkChange {
  readonly isUp?: boolean;
  readonly mac?: Uint8Array;
  readonly mtuBytes?: number;
}

/** An interface of a stack that can be configured. Each call returns 0 or a negated errno. */
export interface Configurable {
  setLink(change: LinkChange): number;
  /** Adds or removes a static address; to add one that is there is no error. */
  setAddress(prefix: Prefix, isAdded: boolean): number;
  /** Adds or removes a default route. */
  setGateway(gateway: Address, isAdded: boolean): number;
  /** Adds or removes a server (an address) or a search domain (a text). */
  setName(what: Address | string, isAdded: boolean): number;
  /**
   * Starts or stops `feature`, one bit that is not Static or Eth. `fqdn` is empty or the host's name. Of RouterDiscovery,
   * `features` says with what: Slaac, Temporary, Eui64.
   */
  setFeature(feature: Feature, isOn: boolean, how: { readonly features: number; readonly fqdn: string }): number;
  /** Removes all static addresses, gateways, servers and domains. */
  forgetStatic(): number;
}

/** What went wrong first, if anything: in which step, and the negated errno. */
export interface ApplyError {
  readonly step: string;
  readonly errno: number;
}

const AUTOMATIC = [
  [Feature.RouterDiscovery, 'rd'],
  [Feature.Slaac, 'slaac'],
  [Feature.Temporary, 'temp'],
  [Feature.Eui64, 'eui64'],
  [Feature.Dhcp4, 'dhcp'],
  [Feature.Dhcp6, 'dhcp6'],
] as const;

type Step = readonly [step: string, run: () => number];

/** Carries out `config` and stops at the first error, which it returns. */
export function applyConfig(config: Config, target: Configurable): ApplyError | undefined {
  for (const [step, run] of [...undoSteps(config, target), ...setSteps(config, target)]) {
    const errno = run();
    if (errno < 0) return { step, errno };
  }
  return undefined;
}

function undoSteps({ undo, fqdn }: Config, target: Configurable): Step[] {
  const how = { features: undo.features, fqdn };
  const steps: Step[] = [];
  // Leases are given back while the addresses are there; modifiers are undone before what they modify.
  for (const [feature, name] of [...AUTOMATIC].reverse()) {
    if (undo.features & feature) steps.push([`-${name}`, () => target.setFeature(feature, false, how)]);
  }
  for (const prefix of undo.addresses) steps.push(['-ip', () => target.setAddress(prefix, false)]);
  for (const gateway of undo.gateways) steps.push(['-gw', () => target.setGateway(gateway, false)]);
  for (const server of undo.dnsServers) steps.push(['-dns', () => target.setName(server, false)]);
  for (const domain of undo.domains) steps.push(['-domain', () => target.setName(domain, false)]);
  if (undo.features & Feature.Static) steps.push(['-static', () => target.forgetStatic()]);
  if (undo.features & Feature.Eth) steps.push(['-eth', () => target.setLink({ isUp: false })]);
  return steps;
}

function setSteps({ set, fqdn, mac, mtuBytes }: Config, target: Configurable): Step[] {
  const how = { features: set.features, fqdn };
  const steps: Step[] = [];
  const link: LinkChange = {
    ...(mac ? { mac } : {}),
    ...(mtuBytes === 0 ? {} : { mtuBytes }),
    ...(set.features & Feature.Eth ? { isUp: true } : {}),
  };
  if (Object.keys(link).length > 0) steps.push(['eth', () => target.setLink(link)]);
  for (const prefix of set.addresses) steps.push(['ip', () => target.setAddress(prefix, true)]);
  for (const gateway of set.gateways) steps.push(['gw', () => target.setGateway(gateway, true)]);
  for (const server of set.dnsServers) steps.push(['dns', () => target.setName(server, true)]);
  for (const domain of set.domains) steps.push(['domain', () => target.setName(domain, true)]);
  for (const [feature, name] of AUTOMATIC) {
    if (set.features & feature) steps.push([name, () => target.setFeature(feature, true, how)]);
  }
  return steps;
}
