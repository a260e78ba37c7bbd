// A host on a stack of ours for the programs in this process: a `StackHost` that has its addresses, and what happens at the end.

import { AddressState, isIp4, isLinkLocal, LOOPBACK_IFACE, parseConfig, type Stack } from '../stack/stack.ts';
import { placeOf } from '../thread/place.io.ts';
import { runOutside } from '../thread/run.io.ts';
import { StackHost, type StackHostOptions } from './stack-host.io.ts';

const READY_MS_MAX = 5000; // a network may have nobody who gives addresses
const LINGER_MS_MAX = 2000; // for what the peer has not acknowledged when the program ends
const LINGER_STEP_MS = 10;

/** The network that a line of configuration names by `vnl=`; undefined if it names none. Throws `UsageError`. */
export const networkOfLine = (line: string): string | undefined => parseConfig(line).vnl || undefined;

/**
 * Plugs a host in; fulfilled when it has its addresses, or after 5 s without any. The plug's own sockets are the host's, also
 * where the program that asks for it is on another stack. Rejects with `UsageError` or `FailedError`.
 */
export function openProgramHost(options: StackHostOptions): Promise<StackHost> {
  return runOutside(async () => {
    // A program does not wait 5 s for RFC 5227's probes, which no kernel sends either.
    const host = await StackHost.open({ dadTransmits: 0, ...options });
    await Promise.race([hasAddresses(host.stack, options.line), host.ended]);
    return host;
  });
}

/** Fulfilled when an address can be used: of IPv4 where DHCP was asked for one, else any that is not link-local. */
function hasAddresses(stack: Stack, line: string): Promise<void> {
  const awaitsIp4 = /(^|,)(auto4?|dhcp)(,|$)/.test(line);
  const { addresses } = stack;
  const isReady = (): boolean =>
    [...addresses.ids()].some((a) => {
      const state = addresses.stateOf(a);
      const address = addresses.addressOf(a);
      if (
        addresses.ifaceOf(a) === LOOPBACK_IFACE ||
        state === AddressState.Tentative ||
        state === AddressState.Duplicate
      )
        return false;
      return !isLinkLocal(address) && (!awaitsIp4 || isIp4(address));
    });
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, READY_MS_MAX);
    stack.onNews(() => {
      if (!isReady()) return;
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Takes a host out of the network: programs lose what they have open there. */
export function closeProgramHost(host: StackHost): void {
  placeOf(host).endAll();
  host.flush();
  host.close();
}

/** A kernel goes on sending for a process that is gone. Here the process waits a little, then says good-bye. */
export function lingerAtEnd(host: StackHost): void {
  let waitedMs = 0;
  process.on('beforeExit', () => {
    if (!host.stack.tcp.isUnacknowledged || waitedMs >= LINGER_MS_MAX) return;
    waitedMs += LINGER_STEP_MS;
    setTimeout(() => {}, LINGER_STEP_MS);
  });
  process.on('exit', () => {
    placeOf(host).closeAll();
    host.flush();
    host.close();
  });
}
