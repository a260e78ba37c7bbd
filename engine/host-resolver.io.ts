// The name servers of the host, as its resolv.conf names them now. The thread that asks blocks in epoll, so nobody watches the
// file: it is looked at, at most once a second, when somebody wants to know. What cannot be read names nobody.

import { readFileSync, statSync } from 'node:fs';
import { US_PER_S } from '../core/time.ts';
import type { NameServers } from './dns-upstream.ts';
import { type NameServerAddress, parseResolvConf, type ResolvConf } from './resolv-conf.ts';

/** Where hosts keep it. */
export const RESOLV_CONF = '/etc/resolv.conf';
const LOOK_US = US_PER_S;
const FILE_BYTES_MAX = 65_536;
const NOTHING: ResolvConf = { servers: [], search: [] };

/** What it is given. */
export interface HostResolverOptions {
  readonly path?: string;
  /** Whole µs, never going back. */
  nowUs(): number;
  /** A line for people, when the file cannot be read or names others. */
  say?(line: string): void;
}

export class HostResolver implements NameServers {
  /** Another number whenever the servers are others. */
  generation = 0;
  private readonly path: string;
  private readonly nowUs: () => number;
  private readonly say: (line: string) => void;
  private conf = NOTHING;
  private lookedUs = -Infinity;
  private stamp = '';
  private isBroken = false;

  constructor({ path = RESOLV_CONF, nowUs, say = () => {} }: HostResolverOptions) {
    this.path = path;
    this.nowUs = nowUs;
    this.say = say;
  }

  current(): readonly NameServerAddress[] {
    this.look();
    return this.conf.servers;
  }

  /** Domains of the host's search list. */
  search(): readonly string[] {
    this.look();
    return this.conf.search;
  }

  private look(): void {
    const nowUs = this.nowUs();
    if (nowUs < this.lookedUs + LOOK_US) return;
    this.lookedUs = nowUs;
    try {
      const { mtimeNs, ctimeNs, size, ino } = statSync(this.path, { bigint: true });
      const stamp = `${mtimeNs} ${ctimeNs} ${size} ${ino}`;
      if (stamp === this.stamp) return;
      this.stamp = stamp;
      if (size > FILE_BYTES_MAX) throw new Error(`${size} bytes; at most ${FILE_BYTES_MAX} are read`);
      this.take(parseResolvConf(readFileSync(this.path, 'utf8'), interfaceNumber));
      this.isBroken = false;
    } catch (error) {
      this.stamp = '';
      this.take(NOTHING);
      if (!this.isBroken) this.say(`${this.path} cannot be read: ${error instanceof Error ? error.message : error}`);
      this.isBroken = true;
    }
  }

  private take(conf: ResolvConf): void {
    const text = ({ servers }: ResolvConf): string => servers.map((one) => one.address.join()).join(' ');
    if (text(conf) !== text(this.conf)) this.generation++;
    this.conf = conf;
  }
}

/** The number of an interface of this host; 0 if there is none of that name. */
function interfaceNumber(name: string): number {
  if (!/^[^\s/]{1,15}$/.test(name) || name === '.' || name === '..') return 0;
  try {
    return Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8').trim()) || 0;
  } catch {
    return 0;
  }
}
