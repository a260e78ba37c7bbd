// Who may come in through a WebSocket: the checks of Host, Origin and token, on values.

/** What a request shows of itself. */
export interface Visitor {
  readonly host: string | undefined;
  readonly origin: string | undefined;
  /** The request's target: path and query. */
  readonly target: string;
  /** Sec-WebSocket-Protocol as it came. */
  readonly protocols: string | undefined;
}

/** What a listener asks for. */
export interface DoorRules {
  /** Host header values that are us, lower case: it defeats DNS rebinding. */
  readonly hosts: ReadonlySet<string>;
  /** Origins of foreign pages that may connect; a page of our own host always may. `*` is everybody. */
  readonly origins: ReadonlySet<string>;
  /** The path that must be asked for; undefined is any. */
  readonly path: string | undefined;
  /** True if a token is the right one. In constant time; comes from outside because it needs a hash. */
  isToken(token: string): boolean;
}

/** Why a visitor is turned away, as an HTTP status with its reason; undefined if he may come in. */
export function refuse(visitor: Visitor, rules: DoorRules): string | undefined {
  const host = visitor.host?.toLowerCase();
  if (host === undefined || !rules.hosts.has(host)) return '403 Host not ours';
  if (visitor.origin !== undefined && !isOriginAllowed(visitor.origin, host, rules.origins))
    return '403 Origin not allowed';
  const query = visitor.target.indexOf('?');
  const path = query < 0 ? visitor.target : visitor.target.slice(0, query);
  if (rules.path !== undefined && path !== rules.path) return '404 Not here';
  return tokensOf(visitor).some((token) => rules.isToken(token)) ? undefined : '401 Token missing or wrong';
}

/** The tokens that a visitor offers: `?token=` and each subprotocol. At most ten are looked at. */
export function tokensOf({ target, protocols }: Visitor): string[] {
  const query = target.indexOf('?');
  const tokens = query < 0 ? [] : new URLSearchParams(target.slice(query + 1)).getAll('token');
  for (const protocol of protocols?.split(',') ?? []) tokens.push(protocol.trim());
  return ['', ...tokens.slice(0, 10)];
}

// A native program sends no Origin. `null` is a page without an origin (a file, a sandbox) and is nobody's own.
function isOriginAllowed(origin: string, host: string, origins: ReadonlySet<string>): boolean {
  const lower = origin.toLowerCase();
  return origins.has('*') || origins.has(lower) || lower === `http://${host}` || lower === `https://${host}`;
}
