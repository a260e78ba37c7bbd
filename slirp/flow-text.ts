// Flows in words.

import { type Address, formatAddress, isIp4 } from '../stack/stack.ts';

/** `10.0.2.15:53`, `[fd00::15]:53`. */
export const whereText = (address: Address, port: number): string =>
  isIp4(address) ? `${formatAddress(address)}:${port}` : `[${formatAddress(address)}]:${port}`;
