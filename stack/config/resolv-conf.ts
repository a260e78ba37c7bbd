// resolv.conf(5) as text: the resolver's configuration for people and for programs that look for the file.

import { US_PER_S } from '../../core/time.ts';
import { type Address, format, parse } from '../address.ts';
import { isHostName } from './domain-list.ts';

// As glibc bounds them.
const SERVERS_MAX = 3;
const SEARCH_MAX = 6;
const OPTIONS_MAX = { ndots: 15, timeout: 30, attempts: 5 } as const;

/** What a file says; what it does not say is missing. */
export interface ResolvConf {
  readonly servers: readonly Address[];
  readonly search: readonly string[];
  readonly ndots?: number;
  readonly timeoutUs?: number;
  readonly attempts?: number;
}

/** Reads a file. Lines that are none do not count, as everywhere; the last of `search` and `domain` does. */
export function parseResolvConf(text: string): ResolvConf {
  const servers: Address[] = [];
  let search: string[] = [];
  const options: { ndots?: number; timeoutUs?: number; attempts?: number } = {};
  for (const line of text.split('\n')) {
    const [word = '', ...values] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/);
    if (word === 'nameserver') {
      const server = parse(values[0] ?? '');
      if (server && servers.length < SERVERS_MAX) servers.push(server);
    } else if (word === 'search' || word === 'domain') {
      search = values.map((name) => name.replace(/\.$/, '')).filter(isHostName);
      search.length = Math.min(search.length, word === 'domain' ? 1 : SEARCH_MAX);
    } else if (word === 'options') for (const value of values) readOption(value, options);
  }
  return { servers, search, ...options };
}

function readOption(text: string, options: { ndots?: number; timeoutUs?: number; attempts?: number }): void {
  const [, name, digits] = /^(ndots|timeout|attempts):([0-9]{1,4})$/.exec(text) ?? [];
  if (name === 'ndots') options.ndots = Math.min(OPTIONS_MAX.ndots, Number(digits));
  if (name === 'timeout') options.timeoutUs = Math.max(1, Math.min(OPTIONS_MAX.timeout, Number(digits))) * US_PER_S;
  if (name === 'attempts') options.attempts = Math.max(1, Math.min(OPTIONS_MAX.attempts, Number(digits)));
}

/** The file for a configuration. */
export function formatResolvConf({ servers, search, ndots, timeoutUs, attempts }: ResolvConf): string {
  const lines: string[] = [];
  if (search.length > 0) lines.push(`search ${search.join(' ')}`);
  for (const server of servers) lines.push(`nameserver ${format(server)}`);
  if (ndots !== undefined) lines.push(`options ndots:${ndots}`);
  if (timeoutUs !== undefined) lines.push(`options timeout:${Math.max(1, Math.round(timeoutUs / US_PER_S))}`);
  if (attempts !== undefined) lines.push(`options attempts:${attempts}`);
  return lines.map((line) => `${line}\n`).join('');
}
