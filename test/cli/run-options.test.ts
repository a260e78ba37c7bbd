import { expect, test } from 'vitest';
import { parseRunOptions, type RunOptions } from '../../cli/run-options.ts';

const parse = (...argv: string[]): RunOptions => {
  const options = parseRunOptions(argv);
  if (options === 'help') throw new Error('help');
  return options;
};

test('everything has a default but the program', () => {
  expect(parse('ping', '-c1')).toMatchObject({
    net: undefined,
    addresses: [],
    gateways: [],
    mtu: 1500,
    name: 'ping',
    device: 'auto',
    waitSeconds: 0,
    command: ['ping', '-c1'],
  });
});

test.each([
  { argv: ['--', '--net', 'x'], command: ['--net', 'x'] },
  { argv: ['ls', '--', '-l'], command: ['ls', '--', '-l'] },
  { argv: ['--net', 'a', 'ls', '--net', 'b'], command: ['ls', '--net', 'b'] },
  { argv: ['--net=a=b', '--', 'ls'], command: ['ls'] },
])('the program begins at the first word that is no option: $argv', ({ argv, command }) => {
  expect(parse(...argv).command).toEqual(command);
});

test('reads every option', () => {
  const options = parse(
    ...['--net', 'lab', '--ip', '10.0.0.1/8', '--ip=fd00::1/64', '--gw', '10.0.0.9', '--gw', 'fe80::1'],
    ...['--mac', '2:0:0:0:0:9', '--mtu', '9000', '--name', 'web', '--device', 'veth', '--wait', '3', 'true'],
  );
  expect(options).toEqual({
    net: 'lab',
    dns: undefined,
    isMtuGiven: true,
    addresses: [
      { address: Uint8Array.of(10, 0, 0, 1), prefixLength: 8 },
      { address: Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), prefixLength: 64 },
    ],
    gateways: [Uint8Array.of(10, 0, 0, 9), Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)],
    mac: Uint8Array.of(2, 0, 0, 0, 0, 9),
    mtu: 9000,
    name: 'web',
    device: 'veth',
    waitSeconds: 3,
    command: ['true'],
  });
});

test.each([
  ['no program given', []],
  ['no program given', ['--']],
  ["unknown option '--foo'", ['--foo', 'true']],
  ["unknown option '-n'", ['-n', 'lab', 'true']],
  ['--net needs a value', ['--net']],
  ['--net was given twice', ['--net', 'a', '--net', 'b', 'true']],
  ["--ip '10.0.0.1': expected ADDRESS/PREFIX", ['--ip', '10.0.0.1', 'true']],
  ["--ip '10.0.0.1/33': expected ADDRESS/PREFIX", ['--ip', '10.0.0.1/33', 'true']],
  ["--ip 'fd00::1/129': expected ADDRESS/PREFIX", ['--ip', 'fd00::1/129', 'true']],
  ["--gw '10.0.0.0/8': expected an address", ['--gw', '10.0.0.0/8', 'true']],
  ['only one gateway per address family', ['--gw', '10.0.0.1', '--gw', '10.0.0.2', 'true']],
  ['expected the MAC address of one station', ['--mac', '01:00:00:00:00:00', 'true']],
  ['expected a whole number from 68 to 65521', ['--mtu', '67', 'true']],
  ['expected a whole number from 68 to 65521', ['--mtu', '65522', 'true']],
  ['expected a whole number from 68 to 65521', ['--mtu', '1e3', 'true']],
  ['expected tap, veth, auto', ['--device', 'tun', 'true']],
  ['expected up to 64 letters', ['--name', 'a b', 'true']],
])('refuses with %j', (line, argv) => {
  expect(() => parse(...argv)).toThrow(line);
});

test('a named port keeps its MAC address, others get one by chance', () => {
  expect(parse('--name', 'web', 'true').mac).toEqual(parse('--name', 'web', 'false').mac);
  expect(parse('true').mac).not.toEqual(parse('true').mac);
  expect(parse('true').mac[0]! & 3).toBe(2); // locally administered, one station
});
