// What a line says about the interface itself: it is made of that, and later it cannot change.

import { UsageError } from '../../core/assert.ts';
import { formatMac } from '../../wire/ethernet.ts';
import type { InterfaceOptions, NetworkInterface } from '../link/interfaces.ts';
import { type Config, parseConfig } from './config.ts';

/**
 * What a line says about the interface that is to be made for it; later the hardware address cannot change, and the MTU cannot
 * grow. `defaults` stand where the line says nothing.
 */
export function interfaceOptionsOf(line: string, defaults: InterfaceOptions): InterfaceOptions {
  const { iface, mac, mtuBytes } = parseConfig(line);
  return {
    ...defaults,
    ...(iface === '' ? {} : { name: iface }),
    ...(mac ? { mac } : {}),
    ...(mtuBytes === 0 ? {} : { mtuBytes }),
  };
}

/** Throws `UsageError` if a line wants of `iface` what it was not made with: mistakes that have better words than an errno. */
export function refuseHardware({ mac, mtuBytes }: Config, iface: NetworkInterface): void {
  if (mac && !mac.every((byte, i) => byte === iface.mac[i])) {
    throw new UsageError(
      `mac=${formatMac(mac)}: ${iface.name} was made with ${formatMac(iface.mac)}; ` +
        'a hardware address is chosen when the interface is made',
    );
  }
  if (mtuBytes > iface.mtuBytes) {
    throw new UsageError(`mtu=${mtuBytes}: ${iface.name} takes at most ${iface.mtuBytes}`);
  }
}
