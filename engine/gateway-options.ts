// What a gateway is to be, as people write it: options of `slirp://`, keys of a lab file's `gateway`, options of `weft slirp`.
// Which there are stands in plug/schemes.ts, what they mean here and in docs/vnl.md; gateway-settings.ts reads their values.

import { UsageError } from '../core/assert.ts';
import { checkOption, SCHEMES } from '../plug/plug.ts';

/** As they were written: a flag is '', a list has commas. */
export type GatewayOptions = ReadonlyMap<string, string>;

/** Adds one option as `key=value` in a VNL would; `value` undefined is a flag. Throws `UsageError`. */
export function addOption(to: Map<string, string>, what: string, key: string, value: string | undefined): void {
  const rules = SCHEMES.slirp!;
  checkOption(what, rules, key, value);
  const before = to.get(key);
  if (before === undefined) to.set(key, value ?? '');
  else if (rules.options[key]!.kind === 'list') to.set(key, `${before},${value}`);
  else throw new UsageError(`${what}: '${key}' is given twice; give it once`);
}

/** Names and values, as far as a table can tell. Throws `UsageError`. */
export function checkGatewayOptions(options: GatewayOptions, what: string): void {
  const rules = SCHEMES.slirp!;
  for (const [key, value] of options) {
    checkOption(what, rules, key, rules.options[key]?.kind === 'flag' && value === '' ? undefined : value);
  }
}
