// Leases as text: one JSON object a line, the first with the version. Read with suspicion, as anybody may have edited it.

import { type Address, formatAddress, parseAddress } from '../stack/stack.ts';
import { labelOf } from './names.ts';

const VERSION = 1;
const TEXT_CHARS_MAX = 64 << 20;
const CLIENT_CHARS_MAX = 2 * 260;
const WHERE_CHARS_MAX = 64;
const SECONDS_MAX = 2 ** 40;

/** What of a lease outlives the process. */
export interface SavedLease {
  readonly address: Address;
  readonly client: string;
  readonly where: string;
  readonly mac: string;
  readonly name: string;
  readonly state: 'bound' | 'declined' | 'expired';
  /** A program of the engine had it. */
  readonly isProgram: boolean;
  readonly sinceS: number;
  readonly untilS: number;
}

/** What a text says: its good lines, and how many were none. */
export interface ReadLeases {
  readonly leases: readonly SavedLease[];
  readonly badLines: number;
  /** It is no lease file, or of another version. */
  readonly isForeign: boolean;
}

type Fields = Partial<Record<keyof SavedLease | 'leases', unknown>>;

/** The text of leases. */
export function writeLeases(leases: readonly SavedLease[]): string {
  const lines = leases.map((lease) => JSON.stringify({ ...lease, address: formatAddress(lease.address) }));
  return `${[JSON.stringify({ leases: VERSION }), ...lines].join('\n')}\n`;
}

/** Reads a text; never throws. */
export function readLeases(text: string): ReadLeases {
  if (text.length > TEXT_CHARS_MAX) return { leases: [], badLines: 0, isForeign: true };
  const [head = '', ...lines] = text.split('\n').filter((line) => line.trim() !== '');
  if (objectOf(head)?.leases !== VERSION) return { leases: [], badLines: lines.length, isForeign: true };
  const leases = lines.map(leaseOf).filter((lease) => lease !== undefined);
  return { leases, badLines: lines.length - leases.length, isForeign: false };
}

function objectOf(line: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function leaseOf(line: string): SavedLease | undefined {
  const fields = objectOf(line);
  if (!fields) return undefined;
  const { state } = fields;
  const address = typeof fields.address === 'string' ? parseAddress(fields.address) : undefined;
  const client = textOf(fields.client, /^([0-9a-f]{2})*$/, CLIENT_CHARS_MAX);
  const where = textOf(fields.where, /^[0-9a-f:.]*$/, WHERE_CHARS_MAX);
  const mac = textOf(fields.mac, /^(|[0-9a-f]{2}(:[0-9a-f]{2}){5})$/, WHERE_CHARS_MAX);
  const name = textOf(fields.name, /^[a-z0-9-]*$/, WHERE_CHARS_MAX);
  const sinceS = secondsOf(fields.sinceS);
  const untilS = secondsOf(fields.untilS);
  if (state !== 'bound' && state !== 'declined' && state !== 'expired') return undefined;
  if (typeof fields.isProgram !== 'boolean') return undefined;
  if (!address || client === undefined || where === undefined || mac === undefined) return undefined;
  if (name === undefined || labelOf(name) !== name || sinceS === undefined || untilS === undefined) return undefined;
  return { address, client, where, mac, name, state, isProgram: fields.isProgram, sinceS, untilS };
}

const textOf = (value: unknown, form: RegExp, charsMax: number): string | undefined =>
  typeof value === 'string' && value.length <= charsMax && form.test(value) ? value : undefined;

const secondsOf = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= SECONDS_MAX ? value : undefined;
