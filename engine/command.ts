// What a command of a running node is made of; commands.ts has them all.

import type { NodeView } from './node-view.ts';

/** What an argument is, for checking, help and completion. */
export interface Parameter {
  readonly name: string;
  readonly kind: 'port' | 'vid' | 'int' | 'mac' | 'text' | 'flag';
  readonly min?: number;
  readonly max?: number;
  readonly optional?: boolean;
  /** Takes all further words. */
  readonly rest?: boolean;
}

export type Values = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface Command {
  readonly name: string;
  readonly help: string;
  readonly parameters: readonly Parameter[];
  /** Returns what is printed as JSON. Throws `UsageError`, or `FailedError` where it cannot be done. */
  run(node: NodeView, values: Values): unknown;
}

export const command = (
  name: string,
  parameters: readonly Parameter[],
  help: string,
  run: Command['run'],
): Command => ({ name, parameters, help, run });

export const num = (value: Values[string]): number => Number(value);
