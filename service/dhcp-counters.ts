/** What the DHCP servers of a network counted; whole numbers, for listings and metrics. */
export class DhcpCounters {
  requests4 = 0; // messages that were understood, by family
  replies4 = 0;
  naks = 0;
  bootp = 0; // requests of BOOTP among requests4
  requests6 = 0;
  replies6 = 0;
  refused6 = 0; // identity associations that got nothing: no address left, not on link, no binding, or a prefix
  // Dropped, each with its reason:
  malformed = 0; // not a message, or an option is cut or contradicts another
  notForUs = 0; // for another server, or by another way than it must come
  silent = 0; // no address to give, or not ours to say no
  unsent = 0; // the interface took no frame
}
