// The forwards of `weft stack`, in ssh's notation.

import { isIPv4, isIPv6 } from 'node:net';
import { UsageError } from '../core/assert.ts';
import type { Forward } from '../engine/stack-relay.io.ts';

/** `[BIND:]PORT:HOST:PORT`; addresses of IPv6 stand in brackets. PORT 0 listens on one that is free. Throws `UsageError`. */
export function parseForward(option: string, text: string): Forward {
  const parts = splitParts(text);
  const [bind, port, host, hostPort] = parts?.length === 3 ? ['', ...parts] : (parts ?? []);
  const forward = {
    ...(bind ? { bind } : {}),
    port: portOf(port, 0),
    host: host ?? '',
    hostPort: portOf(hostPort, 1),
  };
  const isBind = !bind || isIPv4(bind) || isIPv6(bind);
  if (isBind && forward.port >= 0 && forward.host !== '' && forward.hostPort >= 0) return forward;
  throw new UsageError(
    `stack: ${option} '${text}': expected [BIND:]PORT:HOST:PORT, such as 8080:10.0.0.2:80 or 8080:[fd00::2]:80`,
  );
}

/** 3 or 4 parts without their brackets; undefined if they are not so many. */
function splitParts(text: string): string[] | undefined {
  const parts = text.match(/\[[^\][]*\]|[^:[\]]+/g) ?? [];
  if ((parts.length !== 3 && parts.length !== 4) || parts.join(':') !== text) return undefined;
  return parts.map((part) => part.replace(/^\[|\]$/g, ''));
}

const portOf = (text: string | undefined, min: number): number => {
  const port = /^\d{1,5}$/.test(text ?? '') ? Number(text) : -1;
  return port >= min && port <= 65535 ? port : -1;
};
