// Connections that guests open, as a guest's socket and a server outside see them.

import { describe, expect, test } from 'vitest';
import { Verdict } from '../../slirp/slirp.ts';
import { Errno, Ready, TcpState } from '../../stack/stack.ts';
import { bytesOf, isPattern, Lab, pattern, Reader, text } from './kit-flows.ts';

const S = 1_000_000;
const FAMILIES = [
  ['IPv4', '192.0.2.7', '192.0.2.7:80'],
  ['IPv6', '2001:db8::7', '[2001:db8::7]:80'],
] as const;

describe.each(FAMILIES)('%s', (_family, to, where) => {
  test('a connection stands when the host has connected, and carries bytes both ways', () => {
    const lab = new Lab();
    lab.host.answer(where, 'hold');
    const socket = lab.connect(to, 80);
    lab.run(3 * S);
    expect(socket.state).toBe(TcpState.SynSent);
    const peer = lab.host.peers[0]!;
    expect(peer.where).toBe(where);
    expect([...lab.tcp.flows()].map((flow) => flow.state)).toEqual(['connecting']);
    peer.accept();
    lab.run();
    expect(socket.state).toBe(TcpState.Established);
    socket.write(bytesOf('question'));
    lab.run();
    expect(text(peer.read())).toBe('question');
    peer.write(bytesOf('answer'));
    lab.run();
    expect(text(socket.read())).toBe('answer');
    expect(lab.counters.tcpOpened).toBe(1);
    const [flow] = [...lab.tcp.flows()];
    expect(flow).toMatchObject({
      protocol: 'tcp',
      target: where,
      direction: 'out',
      state: 'open',
      bytesOut: 8,
      bytesIn: 6,
    });
    expect(flow!.ageSeconds).toBe(3);
  });

  test.each([
    [Errno.ECONNREFUSED, Errno.ECONNREFUSED],
    [Errno.ENETUNREACH, Errno.ENETUNREACH],
    [Errno.EHOSTUNREACH, Errno.EHOSTUNREACH],
    [Errno.ENETDOWN, Errno.ENETUNREACH],
    [Errno.EAFNOSUPPORT, Errno.ENETUNREACH],
    [Errno.EHOSTDOWN, to.includes(':') ? Errno.EHOSTUNREACH : Errno.EHOSTDOWN],
    [Errno.ENOPROTOOPT, to.includes(':') ? Errno.ECONNREFUSED : Errno.ENOPROTOOPT],
    [Errno.EOPNOTSUPP, to.includes(':') ? Errno.ECONNREFUSED : Errno.EOPNOTSUPP],
    [Errno.EACCES, to.includes(':') ? Errno.EACCES : Errno.EHOSTUNREACH],
    [Errno.EPERM, to.includes(':') ? Errno.EACCES : Errno.EHOSTUNREACH],
    [Errno.ETIMEDOUT, Errno.ETIMEDOUT],
    [Errno.EMFILE, Errno.ECONNREFUSED],
    [Errno.EADDRNOTAVAIL, Errno.ECONNREFUSED],
  ])('when the host fails with %i, the guest does with %i', (errno, seen) => {
    const lab = new Lab();
    lab.host.answer(where, errno);
    const socket = lab.connect(to, 80);
    lab.run(400 * S);
    expect(socket.takeError()).toBe(seen);
    expect([...lab.tcp.flows()]).toEqual([]);
    expect(lab.caps.total).toBe(0);
    expect(lab.host.openHandles).toBe(0);
    const isFull = errno === Errno.EMFILE || errno === Errno.EADDRNOTAVAIL;
    expect(lab.counters.hostFull > 0).toBe(isFull);
    expect(lab.counters.tcpFailed > 0).toBe(!isFull);
  });

  test('a guest that tries a hundred places at once is told of each', () => {
    const lab = new Lab();
    lab.host.answer(where, Errno.ENETUNREACH);
    lab.connect(to, 80); // finds the gateway
    lab.run(10_000);
    const iface = lab.guest.interfaces.get(2)!;
    const before = iface.rxPackets;
    for (let i = 0; i < 100; i++) lab.connect(to, 80);
    lab.run(10_000);
    expect(iface.rxPackets - before).toBe(100);
  });

  test('what is refused fails at once', () => {
    const lab = new Lab();
    const socket = lab.connect(to, 80);
    lab.run(2000);
    expect(socket.takeError()).toBe(Errno.ECONNREFUSED);
  });

  test.each([
    [Verdict.Prohibited, Errno.ECONNREFUSED, 'prohibited'],
    [Verdict.Refused, Errno.ECONNREFUSED, 'tcpFailed'],
    [Verdict.Unreachable, Errno.ENETUNREACH, 'errorsToGuests'],
  ] as const)('the verdict %i gives the guest %i', (verdict, errno, counter) => {
    const lab = new Lab();
    lab.targets.verdicts.set(where, verdict);
    const socket = lab.connect(to, 80);
    lab.run(400 * S);
    expect(socket.takeError()).toBe(errno);
    expect(lab.counters[counter]).toBeGreaterThan(0);
    expect(lab.host.peers).toEqual([]);
  });
});

test('a server that speaks first is heard, whatever the guest waits for', () => {
  const lab = new Lab({ link: { delayUs: 20_000 } });
  lab.host.answer('192.0.2.7:22', 'hold');
  const socket = lab.connect('192.0.2.7', 22);
  lab.run(S);
  const peer = lab.host.peers[0]!;
  peer.accept();
  peer.write(bytesOf('SSH-2.0-test'));
  peer.end();
  const reader = new Reader(lab, socket);
  lab.run(S);
  expect(text(reader.all)).toBe('SSH-2.0-test');
  expect(reader.end).toBe(0);
});

test.each([
  ['before the guest is told that it stands', 100],
  ['before we are', 0],
])('a server that takes, answers and resets %s', (_when, noticeUs) => {
  const lab = new Lab({ link: { delayUs: 20_000 } });
  lab.host.answer('192.0.2.7:22', 'hold');
  const socket = lab.connect('192.0.2.7', 22);
  lab.run(S);
  const peer = lab.host.peers[0]!;
  const reader = new Reader(lab, socket);
  peer.accept();
  if (noticeUs > 0) lab.run(noticeUs);
  peer.write(bytesOf('too many'));
  peer.reset();
  lab.run(S);
  expect(text(reader.all)).toBe('too many');
  expect(reader.end).toBe(-Errno.ECONNRESET);
  expect(lab.relay.flows.count).toBe(0);
});

test('a target may lead to a Unix socket; one that is not there refuses', () => {
  const lab = new Lab();
  lab.targets.paths.set('192.0.2.7:80', '/run/there');
  lab.targets.paths.set('192.0.2.7:81', '/run/gone');
  lab.host.answer('/run/there', 'accept');
  lab.host.answer('/run/gone', Errno.EACCES);
  const socket = lab.connect('192.0.2.7', 80);
  const other = lab.connect('192.0.2.7', 81);
  lab.run();
  expect(socket.state).toBe(TcpState.Established);
  expect(other.takeError()).toBe(Errno.ECONNREFUSED);
  expect([...lab.tcp.flows()].map((flow) => flow.host)).toEqual(['unix']);
});

test('a guest that gives up takes the host along', () => {
  const lab = new Lab();
  lab.host.answer('192.0.2.7:80', 'never');
  const socket = lab.connect('192.0.2.7', 80);
  lab.run();
  expect(lab.host.openHandles).toBe(1);
  socket.abort();
  lab.run(130 * S); // a SYN that is forgotten sends no reset: what is withheld is kept for a minute
  expect(lab.host.openHandles).toBe(0);
  expect(lab.caps.total).toBe(0);
  expect(lab.host.peers[0]!.isReset).toBe(true);
});

test('a guest whose cap is reached is refused, and may go on when a connection ended', () => {
  const lab = new Lab();
  lab.caps.perGuest = 1;
  const { socket, peer } = lab.open();
  const other = lab.connect('192.0.2.7', 80);
  lab.run();
  expect(other.takeError()).toBe(Errno.ECONNREFUSED);
  expect(lab.counters.guestFull).toBe(1);
  socket.close();
  peer.end();
  lab.run();
  expect(lab.open().socket.state).toBe(TcpState.Established);
});

test('the table of flows is bounded', () => {
  const lab = new Lab({ relay: { flowsMax: 3 } });
  lab.host.answer('192.0.2.7:80', 'accept');
  const sockets = [1, 2, 3, 4, 5].map(() => lab.connect('192.0.2.7', 80));
  lab.run(5 * S);
  expect(sockets.filter((socket) => socket.state === TcpState.Established).length).toBe(3);
  expect(lab.counters.guestFull).toBe(2);
});

test('a host without descriptors refuses, and is counted', () => {
  const lab = new Lab({ host: { handlesMax: 1 } });
  lab.open();
  const other = lab.connect('192.0.2.7', 80);
  lab.run();
  expect(other.takeError()).toBe(Errno.ECONNREFUSED);
  expect(lab.counters.hostFull).toBe(1);
});

describe('ends', () => {
  const isOver = (lab: Lab): void => {
    expect(lab.relay.flows.count).toBe(0);
    expect(lab.caps.total).toBe(0);
    expect(lab.host.openHandles).toBe(0);
    expect(lab.gate.tcp.connections).toBe(1); // the interceptor
  };

  test('the guest ends first, behind its data', () => {
    const lab = new Lab();
    const { socket, peer } = lab.open();
    socket.write(bytesOf('all'));
    socket.end();
    lab.run();
    expect(text(peer.read())).toBe('all');
    expect(peer.isAtEnd).toBe(true);
    expect([...lab.tcp.flows()][0]!.state).toBe('guest-closed');
    peer.write(bytesOf('late answer'));
    peer.end();
    lab.run();
    expect(text(socket.read())).toBe('late answer');
    expect(socket.read()).toBe(0);
    isOver(lab);
    expect(peer.isReset).toBe(false);
  });

  test('the host ends first, behind its data', () => {
    const lab = new Lab();
    const { socket, peer } = lab.open();
    peer.write(bytesOf('banner'));
    peer.end();
    lab.run();
    expect(text(socket.read())).toBe('banner');
    expect(socket.read()).toBe(0);
    expect([...lab.tcp.flows()][0]!.state).toBe('host-closed');
    socket.write(bytesOf('rest'));
    lab.run();
    expect(text(peer.read())).toBe('rest');
    socket.end();
    lab.run();
    expect(peer.isAtEnd).toBe(true);
    isOver(lab);
    expect(peer.isReset).toBe(false);
  });

  test('both end at once', () => {
    const lab = new Lab();
    const { socket, peer } = lab.open();
    socket.end();
    peer.end();
    lab.run();
    expect(socket.read()).toBe(0);
    expect(peer.isAtEnd).toBe(true);
    isOver(lab);
  });

  test('the end comes while the other side does not read yet: everything is delivered', () => {
    const lab = new Lab({ host: { bufferBytes: 4096 } });
    const { socket, peer } = lab.open();
    expect(socket.write(pattern(300_000))).toBe(300_000);
    socket.end();
    lab.run(2 * S);
    let got = 0;
    for (let i = 0; i < 1000 && !peer.isAtEnd; i++) {
      const bytes = peer.read();
      expect(isPattern(bytes, got)).toBe(true);
      got += bytes.length;
      lab.run(1000);
    }
    expect(got).toBe(300_000);
    expect(peer.isAtEnd).toBe(true);
  });

  test('a reset of the guest is passed on', () => {
    const lab = new Lab();
    const { socket, peer } = lab.open();
    socket.abort();
    lab.run();
    expect(peer.isReset).toBe(true);
    isOver(lab);
  });

  test('a reset of the host is passed on', () => {
    const lab = new Lab();
    const { socket, peer } = lab.open();
    peer.reset();
    lab.run();
    expect(socket.read()).toBe(-Errno.ECONNRESET);
    isOver(lab);
  });

  test('a reset of the host comes behind what the host had sent', () => {
    const lab = new Lab({ host: { bufferBytes: 1 << 20 } });
    const { socket, peer } = lab.open();
    const reader = new Reader(lab, socket);
    expect(peer.write(pattern(700_000))).toBe(700_000);
    peer.reset();
    lab.run(10 * S);
    expect(reader.end).toBe(-Errno.ECONNRESET);
    expect(reader.bytes).toBe(700_000);
    expect(isPattern(reader.all)).toBe(true);
    isOver(lab);
  });

  test('a reset of the host comes behind the end of its stream and what was before', () => {
    const lab = new Lab({ host: { bufferBytes: 1 << 20 } });
    const { socket, peer } = lab.open();
    peer.write(pattern(300_000));
    peer.end();
    lab.run(300);
    peer.reset();
    lab.run(300);
    expect(socket.ready & Ready.Error).toBe(0);
    const reader = new Reader(lab, socket);
    lab.run(10 * S);
    expect(reader.bytes).toBe(300_000);
    expect(isPattern(reader.all)).toBe(true);
    expect(reader.end).toBe(0);
    expect(socket.ready & Ready.Error).not.toBe(0);
    isOver(lab);
  });

  test('a reset of the host after its end reaches a guest that goes on', () => {
    const lab = new Lab();
    const { socket, peer } = lab.open();
    peer.write(bytesOf('that is all'));
    peer.end();
    lab.run();
    expect(text(socket.read())).toBe('that is all');
    peer.reset();
    lab.run();
    expect(socket.ready & Ready.Error).not.toBe(0);
    isOver(lab);
  });

  test('a reset of the host after the end of the guest', () => {
    const lab = new Lab();
    const { socket, peer } = lab.open();
    socket.end();
    lab.run();
    peer.reset();
    lab.run();
    expect(socket.read()).toBe(-Errno.ECONNRESET);
    isOver(lab);
  });

  test('a reset of the guest after the end of the host, with data on the way', () => {
    const lab = new Lab({ host: { bufferBytes: 4096 } });
    const { socket, peer } = lab.open();
    peer.end();
    socket.write(pattern(100_000));
    lab.run();
    socket.abort();
    lab.run();
    expect(peer.isReset).toBe(true);
    isOver(lab);
  });

  test('a server that is gone while the guest writes: its last words arrive, then the reset', () => {
    const lab = new Lab({ host: { bufferBytes: 4096 } });
    const { socket, peer } = lab.open();
    const reader = new Reader(lab, socket);
    socket.write(pattern(50_000));
    lab.run();
    peer.write(bytesOf('413'));
    peer.reset();
    lab.run();
    expect(text(reader.all)).toBe('413');
    expect(reader.end).toBe(-Errno.ECONNRESET);
    isOver(lab);
  });

  test('a guest that vanished frees its flow, idle or half closed', () => {
    for (const how of ['idle', 'host ended', 'guest ended', 'data']) {
      const lab = new Lab({ relay: { keepIdleUs: 60 * S } });
      const { socket, peer } = lab.open();
      if (how === 'host ended') peer.end();
      if (how === 'guest ended') socket.end();
      lab.run();
      lab.cut();
      if (how === 'data') peer.write(bytesOf('anybody there?'));
      lab.run(3600 * S);
      expect(lab.relay.flows.count, how).toBe(0);
      expect(peer.isReset, how).toBe(true);
    }
  });

  test('close resets everything', () => {
    const lab = new Lab();
    const { socket, peer } = lab.open();
    lab.host.answer('192.0.2.8:80', 'never');
    const other = lab.connect('192.0.2.8', 80);
    lab.run();
    lab.relay.close();
    lab.tcp.close();
    lab.run();
    expect(peer.isReset).toBe(true);
    expect(socket.read()).toBe(-Errno.ECONNRESET);
    expect(other.takeError()).toBe(Errno.ECONNREFUSED);
    expect(lab.host.openHandles).toBe(0);
  });
});
