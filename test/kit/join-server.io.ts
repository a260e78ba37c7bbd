// A stand-in for the engine: serves DIR/join and is a hub for the devices that it is handed. Also a reference for the protocol.
//
//   node join-server.js DIR [refuse|lease]     prints `ready`, then one line per event

import { writeSync } from 'node:fs';
import { CallMemory } from '../../sys/call-memory.io.ts';
import { acceptPacket, listenPacket, receivePacket, sendPacket } from '../../sys/fd-passing.io.ts';
import { sys } from '../../sys/libc.io.ts';

const POLLIN = 1;
const POLLHUP = 0x10;
const POLLFD_BYTES = 8;
const PORTS_MAX = 64;
const FRAMES_PER_TURN = 64;
const FRAME_BYTES_MAX = 10 + 65536 + 64; // virtio_net_hdr and the longest super-frame

interface HubPort {
  connection: number;
  device: number; // -1 until the request came
}

const memory = new CallMemory({ bytesMax: FRAME_BYTES_MAX + (1 + 2 * PORTS_MAX) * POLLFD_BYTES });
const pollfds = memory.zeros((1 + 2 * PORTS_MAX) * POLLFD_BYTES);
const frame = memory.zeros(FRAME_BYTES_MAX);
const say = (line: string): void => void writeSync(1, `${line}\n`);

const [directory = '.', mode = 'hub'] = process.argv.slice(2);
const listener = listenPacket(`${directory}/join`, { backlog: 16 });
const lease =
  mode === 'lease'
    ? {
        addresses: ['10.0.0.50/24', 'fd00::50/64'],
        gateways: ['10.0.0.254'],
        mtu: 1400,
        dns: ['10.0.0.254', 'fd00::53'],
        search: ['example.org'],
      }
    : {};
const ports: HubPort[] = [];
let portNumber = 0;
say('ready');
for (;;) turn();

function turn(): void {
  const watched = [listener, ...ports.map((port) => port.connection), ...ports.map((port) => port.device)];
  for (const [i, fd] of watched.entries()) {
    memory.view.setInt32(pollfds + i * POLLFD_BYTES, fd, true);
    memory.view.setUint32(pollfds + i * POLLFD_BYTES + 4, POLLIN, true);
  }
  if (sys().poll(memory.base + pollfds, watched.length, -1) < 0) return;
  const isReady = (i: number): boolean =>
    (memory.view.getUint16(pollfds + i * POLLFD_BYTES + 6, true) & (POLLIN | POLLHUP)) !== 0;
  const count = ports.length;
  for (let i = 0; i < count; i++) if (isReady(1 + count + i)) copyFrames(ports[i]!.device);
  for (let i = count - 1; i >= 0; i--) if (isReady(1 + i)) readRequest(i);
  if (isReady(0)) accept();
}

/** Every frame goes to every other port, its header unchanged. */
function copyFrames(source: number): void {
  for (let n = 0; n < FRAMES_PER_TURN; n++) {
    const length = sys().read(source, memory.base + frame, FRAME_BYTES_MAX);
    if (length <= 0) return;
    for (const { device } of ports) {
      if (device >= 0 && device !== source) sys().write(device, memory.base + frame, length);
    }
  }
}

function accept(): void {
  const connection = acceptPacket(listener);
  if (connection === undefined) return;
  if (ports.length < PORTS_MAX) ports.push({ connection, device: -1 });
  else sys().close(connection);
}

function readRequest(i: number): void {
  const port = ports[i]!;
  const packet = receivePacket(port.connection);
  if (!packet) return;
  if (packet.bytes.length === 0) {
    ports.splice(i, 1);
    sys().close(port.connection);
    if (port.device >= 0) sys().close(port.device);
    say('left');
    return;
  }
  port.device = packet.descriptors[0] ?? -1;
  const answer =
    mode === 'refuse' ? { v: 1, error: 'no ports left (64 of 64)' } : { v: 1, port: ++portNumber, ...lease };
  sendPacket(port.connection, new TextEncoder().encode(JSON.stringify(answer)));
  say(`joined ${new TextDecoder().decode(packet.bytes)}`);
}
