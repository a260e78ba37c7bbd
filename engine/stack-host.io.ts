// `weft stack`: a host on weft's own stack, at one end of a cable whose other end is a plug into the network.

import { randomBytes } from 'node:crypto';
import { FailedError, UsageError } from '../core/assert.ts';
import { US_PER_MS } from '../core/time.ts';
import { parseVnl } from '../plug/plug.ts';
import {
  AddressState,
  type Config,
  formatAddress,
  type NetworkInterface,
  parseConfig,
  Stack,
  StackPort,
} from '../stack/stack.ts';
import { formatMac } from '../wire/ethernet.ts';
import { Fabric } from './fabric.io.ts';
import { FabricNode } from './fabric-node.io.ts';
import { openNodePlugIn } from './node-plugs.io.ts';

const CABLE = 'cable';
const PLUG_END = 0;
const STACK_END = 1;
const MTU_BYTES = 1500;
const FLUSH_TURNS_MAX = 16;
const LOOK_US = 100 * US_PER_MS; // how late news may be: what changes at once is told in one line

// A plug of these leaves for ever when it leaves; the others come back.
const ONE_SHOT: ReadonlySet<string> = new Set(['seqpacket', 'tap', 'stdio', 'cmd']);

/** What such a host is. */
export interface StackHostOptions {
  /** How NET is called in news. */
  readonly name: string;
  /** The plug into it. */
  readonly vnl: string;
  /** Fail at once if the plug finds nobody there. */
  readonly mustBeUp: boolean;
  /** One line of configuration; see stack/config/config.ts. */
  readonly line: string;
  /** 6 bytes; without it the line's, else a random one that is locally administered. */
  readonly mac?: Uint8Array | undefined;
  /** False: checksums and segments are the stack's own work, whatever the plug could do. Default true. */
  readonly takesOffload?: boolean;
  /** How often others are asked for an address before it is used; 0: it is used at once. Default: as RFC 5227 and 4862 have it. */
  readonly dadTransmits?: number;
  /** The process does not go on for the network's sake: programs in it hold it while they wait for something. */
  readonly isBackground?: boolean;
  /** A line for the operator. */
  readonly tell: (text: string) => void;
}

/** A stack in this process, on its loop. */
export class StackHost {
  readonly stack: Stack;
  /** Fulfilled by `close`; rejected when the network is gone for good or the host cannot be configured. */
  readonly ended: Promise<void>;
  private readonly options: StackHostOptions;
  private readonly config: Config;
  private readonly fabric: Fabric;
  private readonly node: FabricNode;
  private readonly iface: NetworkInterface;
  private readonly port: StackPort;
  private settle: { resolve: () => void; reject: (error: Error) => void } = { resolve: () => {}, reject: () => {} };
  private plugNews = '';
  private isPlugged = false;
  private isConfigured = false;
  private isLooking = false; // a look is due
  private told = '';
  private isClosed = false;

  private constructor(options: StackHostOptions) {
    this.options = options;
    this.config = parseConfig(options.line);
    const { config } = this;
    if (options.mac && config.mac) throw new UsageError('the MAC is given twice, by --mac and by mac=; take one');
    this.ended = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    this.ended.catch(() => {}); // who waits for it hears of it
    this.fabric = new Fabric({ tell: options.tell, isBackground: options.isBackground ?? false });
    const secret = new Int32Array(new Uint8Array(randomBytes(16)).buffer);
    this.stack = new Stack({ slab: this.fabric.slab, secret, nowUs: clockUs() });
    this.iface = this.stack.addInterface({
      name: config.iface || 'eth0',
      mac: options.mac ?? config.mac ?? randomMac(),
      mtuBytes: config.mtuBytes || MTU_BYTES,
      takesOffload: options.takesOffload ?? true,
      ...(options.dadTransmits !== undefined && { dadTransmits: options.dadTransmits }),
    });
    const { fabric } = this;
    this.port = new StackPort(this.stack, this.iface, {
      nowUs: clockUs,
      wake: (port) => fabric.wake(port),
      at: (deadlineUs, act) => fabric.at(deadlineUs, act),
      cancel: (timer) => fabric.cancel(timer),
    });
    this.node = new FabricNode(fabric, {
      notify: ({ event, port, text = '' }) => this.hear(event, port, text),
      shutdown: () => this.close(),
      openNodePlug: openNodePlugIn,
      loadGateways: async () => (await import('./gateway-host.io.ts')).newGateway,
    });
  }

  /** Plugs a new host in. Throws `UsageError`, or `FailedError` if the network has to be up and is not. */
  static async open(options: StackHostOptions): Promise<StackHost> {
    const host = new StackHost(options);
    try {
      await host.plugIn();
      return host;
    } catch (error) {
      host.close();
      throw error;
    }
  }

  /** Programs are about to call the stack outside of its turns: it reads the clock. */
  tick(): void {
    this.stack.tick(clockUs());
  }

  /** Sends what may be sent at once: for who ends the process without another turn of its loop. */
  flush(): void {
    this.tick();
    this.stack.wake();
    for (let turns = 0; turns < FLUSH_TURNS_MAX; turns++) this.fabric.turn(0);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.node.close();
    this.fabric.stop();
    this.settle.resolve();
  }

  private async plugIn(): Promise<void> {
    const { node, port, options } = this;
    const { name, vnl, mustBeUp } = options;
    this.fabric.runOnLoop();
    const service = node.openNetwork({ name: CABLE, kind: CABLE, ports: 1, mode: 0o600, dirMode: 0o700 });
    service.attach(port, STACK_END, { kind: 'stack', description: name });
    await node.openPlug(CABLE, vnl, PLUG_END);
    if (mustBeUp && !this.isPlugged) {
      const why = this.plugNews.replace(/; trying again$/, '');
      throw new FailedError(`network '${name}' is not up (${why}); start it with: weft up`);
    }
    this.stack.onNews(() => this.lookSoon());
    this.port.nudge();
  }

  private hear(event: string, port: number | undefined, text: string): void {
    if (event === 'plug') {
      this.plugNews = text;
      this.options.tell(text);
    } else if (event === 'port-up' && port === PLUG_END) this.plugged();
    else if (event === 'port-down' && port === PLUG_END) this.unplugged();
  }

  /** What looks for duplicates must be heard: the host is configured when somebody is there. */
  private plugged(): void {
    this.isPlugged = true;
    this.tick();
    if (this.isConfigured) this.stack.announce();
    else this.configure();
    this.port.nudge();
  }

  private unplugged(): void {
    this.isPlugged = false;
    if (this.isClosed) return;
    const { scheme, options } = parseVnl(this.options.vnl);
    if (!ONE_SHOT.has(scheme) && !options.has('once')) return;
    this.settle.reject(new FailedError(`network '${this.options.name}' is gone`));
  }

  private configure(): void {
    this.isConfigured = true;
    try {
      this.stack.configuration.apply(this.options.line, this.iface.number);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      this.settle.reject(error);
    }
  }

  private lookSoon(): void {
    if (this.isLooking) return;
    this.isLooking = true;
    this.fabric.at(this.fabric.nowUs() + LOOK_US, () => this.look());
  }

  /** Tells what is new, and the addresses when all are decided. */
  private look(): void {
    this.isLooking = false;
    if (this.isClosed) return;
    for (const line of this.stack.configuration.news()) this.options.tell(line);
    this.tellAddresses();
  }

  private tellAddresses(): void {
    const { iface, options, told } = this;
    const text = this.addressesNow();
    if (text === undefined || text === told) return;
    if (told === '' && text === '') return;
    this.told = text;
    const list = [formatMac(iface.mac), text].filter((part) => part !== '').join(', ');
    if (told === '') options.tell(`stack is up in ${options.name}: ${list}`);
    else options.tell(`addresses in ${options.name}: ${list}`);
  }

  /** As text; undefined while one of them is not decided. */
  private addressesNow(): string | undefined {
    const { addresses } = this.stack;
    const found: string[] = [];
    for (const a of addresses.ids()) {
      if (addresses.ifaceOf(a) !== this.iface.number) continue;
      const state = addresses.stateOf(a);
      if (state === AddressState.Tentative) return undefined;
      const text = `${formatAddress(addresses.addressOf(a))}/${addresses.bitsOf(a)}`;
      found.push(state === AddressState.Duplicate ? `${text} (somebody else has it)` : text);
    }
    return found.join(', ');
  }
}

/** The clock of the fabric. */
const clockUs = (): number => Math.trunc(performance.now() * 1000);

function randomMac(): Uint8Array {
  const mac = new Uint8Array(randomBytes(6));
  mac[0] = (mac[0]! & 0xfc) | 0x02;
  return mac;
}
