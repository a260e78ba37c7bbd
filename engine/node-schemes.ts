// Which plugs live on Node's own loop; their code is loaded when one is opened.

import type { Vnl } from '../plug/plug.ts';

const ALWAYS: ReadonlySet<string> = new Set(['ws', 'wss', 'tcp', 'tls', 'udp', 'cmd', 'stdio', 'pcap', 'null']);

/** True for plugs that are opened on the main thread and relayed to the fabric thread, where there is one. */
export const isNodeScheme = (vnl: Vnl): boolean =>
  ALWAYS.has(vnl.scheme) || (vnl.scheme === 'stream' && vnl.form === 'host');

/** True for a plug that is a gateway: its code is loaded when one is opened. */
export const isGatewayScheme = (text: string): boolean => /^slirp:\/\//i.test(text);
