// Sets of source addresses, as multicast filters are made of: short lists without duplicates, in the order they were given.

import { StateError, type StateReader, type StateWriter } from '../../core/state.ts';
import { ADDRESS_WORDS, type Address, equal } from '../address.ts';

/** Not to be changed once made. */
export type SourceSet = readonly Address[];

/** Sources of one filter, and of what filters make together. */
export const SOURCES_MAX = 64;

/** The empty set. */
export const NO_SOURCES: SourceSet = [];

export const hasSource = (set: SourceSet, source: Address): boolean => set.some((one) => equal(one, source));

/** Those of `a` that are not in `b`. */
export const minus = (a: SourceSet, b: SourceSet): SourceSet => a.filter((one) => !hasSource(b, one));

/** Those in both, in the order of `a`. */
export const common = (a: SourceSet, b: SourceSet): SourceSet => a.filter((one) => hasSource(b, one));

/** Those in either, at most SOURCES_MAX. */
export const union = (a: SourceSet, b: SourceSet): SourceSet => [...a, ...minus(b, a)].slice(0, SOURCES_MAX);

/** True if the same sources are in both, in any order. */
export const sameSources = (a: SourceSet, b: SourceSet): boolean => a.length === b.length && minus(a, b).length === 0;

/** A copy without duplicates. */
export function sourceSet(sources: readonly Address[]): SourceSet {
  const out: Address[] = [];
  for (const one of sources) if (!hasSource(out, one)) out.push(Int32Array.from(one));
  return out;
}

export function saveSources(state: StateWriter, set: SourceSet): void {
  const words = new Int32Array(set.length * ADDRESS_WORDS);
  for (let i = 0; i < set.length; i++) words.set(set[i]!, i * ADDRESS_WORDS);
  state.number(set.length).column(words);
}

export function loadSources(state: StateReader): SourceSet {
  const words = new Int32Array(state.integer(0, SOURCES_MAX) * ADDRESS_WORDS);
  state.into(words);
  const out: Address[] = [];
  for (let i = 0; i < words.length; i += ADDRESS_WORDS) out.push(words.slice(i, i + ADDRESS_WORDS));
  if (sourceSet(out).length !== out.length) throw new StateError('a source twice in a set');
  return out;
}

export function loadAddress(state: StateReader): Address {
  const address = new Int32Array(ADDRESS_WORDS);
  state.into(address);
  return address;
}
