// A conversation with the kernel about devices, addresses and routes of this thread's network namespace.

import { callMemory } from './call-memory.io.ts';
import { check, Errno, errno, SysError, sys } from './libc.io.ts';
import {
  eachMessage,
  type Link,
  type LinkChange,
  listLinks,
  NLMSG_DONE,
  NLMSG_ERROR,
  newAddress,
  newDefaultRoute,
  newVeth,
  readLink,
  setLink,
  setSequence,
  type VethEnd,
} from './rtnetlink.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_ROUTE = 0;

const REPLY_BYTES_MAX = 65536; // the kernel fills at most 32 KiB at a time
const REPLIES_MAX = 4096; // of one listing

/** One rtnetlink socket. It stays with the namespace in which it was opened. */
export class Netlink {
  private readonly socket: number;
  private sequence = 0;

  constructor() {
    this.socket = check(sys().socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), 'netlink socket');
  }

  /** Makes a pair of virtual Ethernet devices that are each other's cable. */
  addVeth(near: VethEnd, far: VethEnd): void {
    this.request(newVeth(near, far), `veth pair ${near.name}, ${far.name}`);
  }

  /** Changes the device `index`: up or down, name, MAC address, MTU. */
  change(index: number, change: LinkChange): void {
    this.request(setLink(index, change), `device ${index}`);
  }

  /** Gives the device an address (4 or 16 bytes) in a network; an IPv6 address without duplicate detection. */
  addAddress(index: number, address: Uint8Array, prefixLength: number): void {
    this.request(newAddress(index, address, prefixLength), 'address');
  }

  /** Makes `gateway` (4 or 16 bytes) the default route. */
  addDefaultRoute(index: number, gateway: Uint8Array): void {
    this.request(newDefaultRoute(index, gateway), 'default route');
  }

  /** All devices of the namespace. */
  links(): Link[] {
    const links: Link[] = [];
    this.talk(listLinks(), 'list devices', (bytes, body, end) => {
      const link = readLink(bytes, body, end);
      if (link) links.push(link);
    });
    return links;
  }

  /** The device called `name`. Throws `SysError` with `ENODEV` if there is none. */
  link(name: string): Link {
    const link = this.links().find((each) => each.name === name);
    if (!link) throw new SysError(`device ${name}`, Errno.ENODEV);
    return link;
  }

  close(): void {
    sys().close(this.socket);
  }

  /** Waits until the kernel did it. Throws `SysError` with the kernel's errno. */
  private request(message: Uint8Array, what: string): void {
    this.talk(message, what, () => {});
  }

  private talk(message: Uint8Array, what: string, each: (bytes: Uint8Array, body: number, end: number) => void): void {
    setSequence(message, ++this.sequence);
    const memory = callMemory();
    check(sys().send(this.socket, memory.base + memory.copy(message), message.length, 0), what);
    for (let replies = 0; replies < REPLIES_MAX; replies++) {
      const bytes = this.receive(what);
      let isDone = false;
      let failure = 0;
      eachMessage(bytes, (type, body, end) => {
        if (type === NLMSG_DONE) isDone = true;
        else if (type === NLMSG_ERROR) {
          isDone = true;
          failure = -new DataView(bytes.buffer, body).getInt32(0, true);
        } else each(bytes, body, end);
      });
      if (failure !== 0) throw new SysError(what, failure);
      if (isDone) return;
    }
  }

  private receive(what: string): Uint8Array {
    const memory = callMemory();
    const at = memory.zeros(REPLY_BYTES_MAX);
    for (;;) {
      const length = sys().recv(this.socket, memory.base + at, REPLY_BYTES_MAX, 0);
      if (length < 0 && errno() === Errno.EINTR) continue;
      check(length, what);
      return memory.bytes.slice(at, at + length);
    }
  }
}
