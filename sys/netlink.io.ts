// A conversation with the kernel about devices, addresses and routes of this thread's network namespace.

import { callMemory } from './call-memory.io.ts';
import { check, Errno, errno, SysError, sys } from './libc.io.ts';
import { eachMessage, type Link, listLinks, NLMSG_DONE, NLMSG_ERROR, readLink, setSequence } from './rtnetlink.ts';

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

  /** Makes a request and waits until the kernel did it. Throws `SysError`; `what` names the request in its message. */
  request(message: Uint8Array, what: string): void {
    this.talk(message, what, () => {});
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
