import { callMemory } from '../../sys/call-memory.io.ts';
import { check, sys } from '../../sys/libc.io.ts';
import { AF_INET, SOCK_STREAM } from '../../sys/socket.io.ts';
import { raw } from '../kit/raw.ts';

const MSG_OOB = 1;

/** A client on loopback that can send urgent data, which Node cannot. */
export function urgentClient(port: number): { send(text: string, isUrgent: boolean): void; close(): void } {
  const fd = raw.open(AF_INET, SOCK_STREAM);
  raw.connectIp(fd, Uint8Array.of(127, 0, 0, 1), port);
  return {
    send: (text, isUrgent) => {
      const memory = callMemory();
      const at = memory.copy(Buffer.from(text));
      check(sys().send(fd, memory.base + at, text.length, isUrgent ? MSG_OOB : 0), 'send');
    },
    close: () => raw.close(fd),
  };
}
