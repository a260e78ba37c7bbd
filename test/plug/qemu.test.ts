import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NodePlug } from '../../plug/node-plug.ts';
import { openNodePlug } from '../../plug/node-plugs.io.ts';
import { parseVnl } from '../../plug/vnl.ts';
import { needs, TestHost, tempDir, until } from '../kit/test-host.ts';

const QEMU = 'qemu-system-x86_64';
const MACHINE =
  '-display none -serial none -monitor none -m 64 -accel tcg -boot n -device virtio-net-pci,netdev=n0 -netdev';

const open: NodePlug[] = [];
const children: ChildProcess[] = [];
let dir: ReturnType<typeof tempDir>;

beforeEach(() => {
  dir = tempDir();
});

afterEach(async () => {
  for (const plug of open.splice(0)) plug.close();
  for (const child of children.splice(0)) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  dir.remove();
});

/** Bookworm's QEMU 7.2 is the first that has it. */
function whyNot(): string | undefined {
  const { stdout } = spawnSync(QEMU, ['-machine', 'none', '-display', 'none', '-netdev', 'help'], { encoding: 'utf8' });
  return stdout?.includes('stream') ? undefined : `${QEMU} has no -netdev stream`;
}

const boot = (netdev: string): void => {
  children.push(spawn(QEMU, [...MACHINE.split(' '), netdev], { stdio: 'ignore' }));
};

/** A DHCPDISCOVER: UDP from port 68 to 67, broadcast. */
const isDiscover = (frame: Buffer): boolean =>
  frame.length > 282 && frame.readUInt16BE(12) === 0x0800 && frame.readUInt16BE(34) === 68 && frame[42] === 1;

describe('QEMU -netdev stream, a plain peer', () => {
  test.for([
    ['connects to our socket', 'off', '[listen]'],
    ['is connected to by us', 'on', ''],
  ])('%s and its firmware asks for an address', { timeout: 60_000 }, async ([, server, options], ctx) => {
    needs(ctx, QEMU, whyNot());
    const host = new TestHost();
    const path = dir.file('s');
    const vnl = parseVnl(`stream://${path}${options}`);
    const netdev = `stream,id=n0,server=${server},addr.type=unix,addr.path=${path}`;
    if (server === 'on') boot(netdev);
    open.push(await openNodePlug(vnl, host, host.hooks));
    if (server === 'off') boot(netdev);
    await until(() => host.ports.some((port) => host.frames(port).some(isDiscover)), 'DHCPDISCOVER', 55_000);
    const port = host.ports[0]!;
    expect([port.takesOffload, port.counters.drops.byName()]).toEqual([false, {}]);
  });
});
