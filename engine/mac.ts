// MAC addresses between text and the number that the switch's listings use.

import { UsageError } from '../core/assert.ts';

/** Six bytes as one number, first byte highest: `02:00:00:00:00:01`. */
export const textOfMac = (mac: number): string =>
  mac
    .toString(16)
    .padStart(12, '0')
    .replace(/..(?!$)/g, '$&:');

/** Reads `aa:bb:cc:dd:ee:ff`, also with dashes. Throws `UsageError`. */
export function parseMac(text: string): number {
  if (!/^[0-9a-f]{1,2}([:-][0-9a-f]{1,2}){5}$/i.test(text)) {
    throw new UsageError(`'${text.slice(0, 40)}' is not a MAC address; write aa:bb:cc:dd:ee:ff`);
  }
  return text.split(/[:-]/).reduce((value, byte) => value * 256 + Number.parseInt(byte, 16), 0);
}
