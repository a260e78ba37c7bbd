// Names of guests: what a guest calls itself, made fit for DNS, and owned by one guest at a time.
//
// Who comes first has a name as long as one of its leases lasts. Another guest that calls itself the same is `NAME-2`, then
// `NAME-3`, and is told so (options 12, 81 and 39), so that two machines of one image can be told apart and none takes over
// what others send to the first. A guest is a MAC address where it is known, so that its IPv4 and IPv6 leases share a name.

import { type Address, formatAddress } from '../stack/stack.ts';

/** Where names of guests are published: the DNS server of the network. */
export interface GuestNames {
  /** `address` is now called `name`, a label in lower case; whatever it was called before is forgotten. A name may have several addresses. */
  set(name: string, address: Address): void;
  /** `address` has no name any more. Nothing happens if it had none. */
  remove(address: Address): void;
}

const LABEL_CHARS_MAX = 63;
/** Guests of one wish that are told apart; more stay without a name. */
const SUFFIX_MAX = 99;

/** What nobody is called: names that resolve locally, or by which programs look for a configuration (RFC 6761, WPAD, ISATAP). */
const NOBODYS: ReadonlySet<string> = new Set(['localhost', 'local', 'wpad', 'isatap', 'gateway', 'invalid']);

/** The first label of `text` in lower case, letters, digits and inner hyphens (RFC 952, RFC 1123 §2.1); '' if nothing is left. */
export function labelOf(text: string): string {
  const first = text.trim().split('.', 1)[0]!;
  return first
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, LABEL_CHARS_MAX)
    .replace(/^-+|-+$/g, '');
}

interface Owned {
  readonly owner: string;
  addresses: number;
}

/** Who is called what. As many names as there are leases at most. */
export class NameTable {
  private readonly published: GuestNames | undefined;
  private readonly isTaken: (name: string) => boolean;
  private readonly owners = new Map<string, Owned>();
  private readonly byAddress = new Map<string, string>();

  /** @param isTaken names that guests may not have, those of the configuration */
  constructor(published?: GuestNames, isTaken: (name: string) => boolean = () => false) {
    this.published = published;
    this.isTaken = isTaken;
  }

  /**
   * Gives `address` a name: `wanted`, or that with a number, or '' if there is none to have. What `owner` has it keeps.
   * With `isEntitled` the configuration says that the name is this guest's.
   */
  claim(wanted: string, owner: string, address: Address, isEntitled = false): string {
    const key = formatAddress(address);
    const before = this.byAddress.get(key);
    const base = labelOf(wanted);
    if (before !== undefined) {
      if (base !== '' && this.owners.get(before)!.owner === owner && isFormOf(before, base)) return before;
      this.release(address);
    }
    const name = base === '' ? '' : this.choose(base, owner, isEntitled);
    if (name === '') return '';
    const owned = this.owners.get(name);
    if (owned) owned.addresses++;
    else this.owners.set(name, { owner, addresses: 1 });
    this.byAddress.set(key, name);
    this.published?.set(name, address);
    return name;
  }

  /** The name of an address, '' if it has none. */
  of(address: Address): string {
    return this.byAddress.get(formatAddress(address)) ?? '';
  }

  /** The address ends. */
  release(address: Address): void {
    const key = formatAddress(address);
    const name = this.byAddress.get(key);
    if (name === undefined) return;
    this.byAddress.delete(key);
    const owned = this.owners.get(name)!;
    if (--owned.addresses === 0) this.owners.delete(name);
    this.published?.remove(address);
  }

  private choose(base: string, owner: string, isEntitled: boolean): string {
    if (isEntitled && !this.owners.has(base)) return base;
    // What it has by another address is its name, whichever number that has.
    for (let i = 1; i <= SUFFIX_MAX; i++) {
      const name = numbered(base, i);
      if (this.owners.get(name)?.owner === owner) return name;
    }
    for (let i = 1; i <= SUFFIX_MAX; i++) {
      const name = numbered(base, i);
      if (!this.owners.has(name) && !NOBODYS.has(name) && !this.isTaken(name)) return name;
    }
    return '';
  }
}

const numbered = (base: string, i: number): string => (i === 1 ? base : `${base.slice(0, LABEL_CHARS_MAX - 3)}-${i}`);

const isFormOf = (name: string, base: string): boolean => {
  for (let i = 1; i <= SUFFIX_MAX; i++) if (numbered(base, i) === name) return true;
  return false;
};
