import { describe, expect, test } from 'vitest';
import { parseForward } from '../../slirp/forward-spec.ts';
import { parseGatewayNetwork } from '../../slirp/gateway-network.ts';
import { Protocol, Verdict } from '../../slirp/parts.ts';
import { parseRule } from '../../slirp/rule.ts';
import { Rules } from '../../slirp/rules.ts';
import { GatewayTargets, type GatewayTargetsOptions, parseNat64 } from '../../slirp/targets.ts';
import { formatAddress, parseAddress } from '../../stack/stack.ts';

const { Tcp, Udp, Icmp, Icmp6 } = Protocol;
const at = (text: string): Int32Array => parseAddress(text)!;

interface Setting extends Partial<Omit<GatewayTargetsOptions, 'rules'>> {
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
  readonly isRestricted?: boolean;
}

function targetsOf({ allow = [], deny = [], isRestricted = false, ...options }: Setting = {}): GatewayTargets {
  const rules = [...deny.map((text) => parseRule('deny', text)), ...allow.map((text) => parseRule('allow', text))];
  const places = { addresses: [at('192.168.1.5')], networks: [{ address: at('192.168.1.0'), bits: 24 }] };
  const network = parseGatewayNetwork('');
  return new GatewayTargets({ network, rules: new Rules({ rules, isRestricted, places }), ...options });
}

/** What becomes of it: the verdict, or where it goes. */
function go(targets: GatewayTargets, target: string, port = 80, protocol: Protocol = Tcp): string {
  const into = new Int32Array(4);
  const guest = target.includes(':') ? 'fd00::15' : '10.0.2.15';
  const verdict = targets.decide(protocol, at(guest), at(target), port, into);
  if (verdict !== Verdict.Go) return Object.keys(Verdict)[verdict]!;
  return targets.hostPath === '' ? `${formatAddress(into)} ${targets.hostPort}` : targets.hostPath;
}

function name(targets: GatewayTargets, address: string, asTarget: string): string {
  const into = new Int32Array(4);
  return targets.nameFor(at(address), at(asTarget), into) ? formatAddress(into) : 'none';
}

describe('targets', () => {
  test.each([
    ['8.8.8.8', '8.8.8.8 80'],
    ['2001:db8::8', '2001:db8::8 80'],
    ['127.0.0.1', 'Prohibited'],
    ['169.254.169.254', 'Prohibited'],
    ['192.168.1.5', 'Prohibited'],
    ['192.168.1.9', 'Prohibited'],
    ['10.0.2.77', 'Unreachable'], // another guest, who is not there
    ['fd00::77', 'Unreachable'],
    ['10.0.2.2', 'Refused'], // nothing is there
    ['10.0.2.3', 'Refused'],
    ['fd00::2', 'Refused'],
    ['fe80::2', 'Refused'],
    ['64:ff9b::808:808', '64:ff9b::808:808 80'], // without NAT64 the host's own affair
  ])('%s: %s', (target, expected) => {
    expect(go(targetsOf(), target)).toBe(expected);
  });

  test("an IPv4 address in an IPv6 packet is nobody's", () => {
    const verdict = targetsOf({ allow: ['loopback'] }).decide(
      Tcp,
      at('fd00::15'),
      at('::ffff:127.0.0.1'),
      80,
      at('::'),
    );
    expect(verdict).toBe(Verdict.Unreachable);
  });

  test.each([
    ['192.168.9.9', '8.8.8.8'],
    ['10.0.2.2', '8.8.8.8'],
    ['127.0.0.1', '8.8.8.8'],
    ['0.0.0.0', '8.8.8.8'],
    ['2001:db8::15', '2001:db8::8'],
    ['fd00::2', '2001:db8::8'],
    ['fe80::15', '2001:db8::8'],
    ['fe80::15', 'fd00::2'],
    ['fe80::2', 'fe80::2'],
    ['::', '2001:db8::8'],
  ])('%s is nobody who may send to %s', (guest, target) => {
    expect(targetsOf({ allow: ['loopback'] }).decide(Udp, at(guest), at(target), 80, at('::'))).toBe(
      Verdict.Unreachable,
    );
  });

  test('a link-local guest speaks with the link-local gateway', () => {
    const verdict = targetsOf({ allow: ['loopback'] }).decide(Udp, at('fe80::15'), at('fe80::2'), 80, at('::'));
    expect(verdict).toBe(Verdict.Go);
  });

  test('the gateway itself is the loopback, where a rule says so', () => {
    const targets = targetsOf({ allow: ['127.0.0.1:5432', '[::1]:53/udp'], deny: ['127.0.0.1:1'] });
    expect(go(targets, '10.0.2.2', 5432)).toBe('127.0.0.1 5432');
    expect(go(targets, '10.0.2.3', 5432)).toBe('127.0.0.1 5432');
    expect(go(targets, '10.0.2.2', 5433)).toBe('Refused');
    expect(go(targets, '10.0.2.2', 1)).toBe('Prohibited');
    expect(go(targets, 'fd00::2', 53, Udp)).toBe('::1 53');
    expect(go(targets, 'fe80::2', 53, Udp)).toBe('::1 53');
    expect(go(targets, 'fd00::2', 53, Tcp)).toBe('Refused');
    expect(go(targets, '127.0.0.1', 5432)).toBe('127.0.0.1 5432');
  });

  test('a wide rule does not open the loopback behind the gateway', () => {
    expect(go(targetsOf({ allow: ['any', '0.0.0.0/0'] }), '10.0.2.2')).toBe('Refused');
  });

  test('restricted, only what a rule allows, and forwards', () => {
    const targets = targetsOf({ isRestricted: true, allow: ['8.8.8.8:443'] });
    targets.addOut(parseForward('out', '80:192.168.1.9:8080'));
    expect(go(targets, '8.8.8.8', 443)).toBe('8.8.8.8 443');
    expect(go(targets, '8.8.8.8', 80)).toBe('Prohibited');
    expect(go(targets, '1.1.1.1', 443)).toBe('Prohibited');
    expect(go(targets, '10.0.2.2', 80)).toBe('192.168.1.9 8080');
  });

  test('forwards out lead to their place, whatever the rules', () => {
    const targets = targetsOf({ deny: ['any'] });
    const web = parseForward('out', '8000-8009:localhost:9000-9009');
    targets.addOut(web);
    targets.addOut(parseForward('out', '10.0.2.3:53:unix:/run/dns'));
    targets.addOut(parseForward('out', 'udp:[fd00::2]:53:127.0.0.53:53'));
    expect(go(targets, '10.0.2.2', 8003)).toBe('127.0.0.1 9003');
    expect(go(targets, 'fd00::3', 8009)).toBe('127.0.0.1 9009');
    expect(go(targets, '10.0.2.2', 8010)).toBe('Prohibited');
    expect(go(targets, '10.0.2.3', 53)).toBe('/run/dns');
    expect(go(targets, '10.0.2.2', 53)).toBe('Prohibited');
    expect(go(targets, '10.0.2.3', 53, Udp)).toBe('Prohibited');
    expect(go(targets, 'fd00::2', 53, Udp)).toBe('127.0.0.53 53');
    targets.removeOut(web);
    expect(go(targets, '10.0.2.2', 8003)).toBe('Prohibited');
  });

  test.each([
    ['8005:127.0.0.1:1', 'begins there already'],
    ['10.0.2.2:8000:127.0.0.1:1', 'begins there already'],
    ['10.0.2.9:80:127.0.0.1:1', 'the gateway has 10.0.2.2, 10.0.2.3'],
  ])('a forward on %s is refused: %s', (text, reason) => {
    const targets = targetsOf();
    targets.addOut(parseForward('out', '8000-8009:localhost:9000'));
    targets.addOut(parseForward('out', 'udp:8000-8009:localhost:9000'));
    expect(() => targets.addOut(parseForward('out', text))).toThrow(reason);
  });

  test('leaves by the outbound addresses', () => {
    const targets = targetsOf({ outbound4: at('192.168.1.5') });
    expect(formatAddress(targets.source(false))).toBe('192.168.1.5');
    expect(formatAddress(targets.source(true))).toBe('::');
    expect(formatAddress(targetsOf().source(false))).toBe('0.0.0.0');
  });
});

describe('NAT64', () => {
  test.each([
    ['64:ff9b::/96', '64:ff9b::808:808', '8.8.8.8 80'],
    ['64:ff9b::/96', '64:ff9b::7f00:1', 'Prohibited'],
    ['64:ff9b::/96', '64:ff9b::a9fe:a9fe', 'Prohibited'],
    ['64:ff9b::/96', '64:ff9b::192.168.1.9', 'Prohibited'],
    ['64:ff9b::/96', '64:ff9b::172.16.1.1', 'Prohibited'], // RFC 6052 §3.1
    ['64:ff9b::/96', '64:ff9b::203.0.113.1', 'Prohibited'],
    ['64:ff9b::/96', '64:ff9b::10.0.2.15', 'Unreachable'],
    ['64:ff9b::/96', '2001:db8::8', '2001:db8::8 80'],
    ['2001:db8::/32', '2001:db8:808:808::', '8.8.8.8 80'],
    ['2001:db8:100::/40', '2001:db8:108:808:8::', '8.8.8.8 80'],
    ['2001:db8:122::/48', '2001:db8:122:808:8:800::', '8.8.8.8 80'],
    ['2001:db8:122:300::/56', '2001:db8:122:308:8:808::', '8.8.8.8 80'],
    ['2001:db8:122:344::/64', '2001:db8:122:344:8:808:800::', '8.8.8.8 80'],
    ['2001:db8:122:344::/96', '2001:db8:122:344::808:808', '8.8.8.8 80'],
    ['2001:db8:122:344::/96', '2001:db8:122:344::172.16.1.1', '172.16.1.1 80'],
    ['2001:db8:122:344::/96', '2001:db8:122:344::127.0.0.1', 'Prohibited'],
    ['2001:db8:122:344::/64', '2001:db8:122:344:108:808:800::', '2001:db8:122:344:108:808:800:0 80'], // u is not zero
  ])('%s: %s is %s', (prefix, target, expected) => {
    expect(go(targetsOf({ nat64: parseNat64(prefix) }), target)).toBe(expected);
  });

  test('what a rule names goes by the well-known prefix, too', () => {
    const targets = targetsOf({
      nat64: parseNat64('64:ff9b::/96'),
      allow: ['172.16.0.0/12', '127.0.0.1:80', '8.8.8.8/icmp'],
    });
    expect(go(targets, '64:ff9b::172.16.1.1')).toBe('172.16.1.1 80');
    expect(go(targets, '64:ff9b::127.0.0.1')).toBe('127.0.0.1 80');
    expect(go(targets, '64:ff9b::8.8.8.8', 0, Icmp6)).toBe('8.8.8.8 0');
  });

  test('names come back in the same form', () => {
    const targets = targetsOf({ nat64: parseNat64('64:ff9b::/96') });
    expect(name(targets, '8.8.8.8', '64:ff9b::8.8.8.8')).toBe('64:ff9b::808:808');
    expect(name(targets, '1.2.3.4', 'fd00::2')).toBe('64:ff9b::102:304');
    expect(name(targets, '10.0.2.15', '64:ff9b::8.8.8.8')).toBe('none');
    expect(name(targets, '2001:db8::8', '64:ff9b::8.8.8.8')).toBe('2001:db8::8');
  });

  test.each(['64:ff9b::/95', '64:ff9b::', '10.0.0.0/8', '64:ff9b::1/96', '2001:db8::100:0:0:0/96', 'x/96'])(
    "'%s' is no prefix",
    (text) => {
      expect(() => parseNat64(text)).toThrow(/^nat64 [^\n]+$/);
    },
  );
});

describe('names', () => {
  test.each([
    ['8.8.8.8', '8.8.4.4', '8.8.8.8'],
    ['10.99.0.1', '8.8.4.4', '10.99.0.1'], // a router on the way
    ['127.0.0.1', '10.0.2.2', '10.0.2.2'],
    ['127.0.0.1', '10.0.2.3', '10.0.2.3'],
    ['127.0.0.1', '8.8.8.8', '10.0.2.2'],
    ['0.0.0.0', '8.8.8.8', '10.0.2.2'], // the host itself said so
    ['::1', 'fd00::2', 'fd00::2'],
    ['::1', 'fe80::2', 'fe80::2'],
    ['::', '2001:db8::8', 'fd00::2'],
    ['8.8.8.8', '2001:db8::8', 'none'],
    ['2001:db8::8', '8.8.8.8', 'none'],
    ['10.0.2.77', '8.8.8.8', 'none'], // nothing from outside comes under a guest's name
    ['fd00::77', '2001:db8::8', 'none'],
    ['fe80::9', '2001:db8::8', 'none'],
  ])('%s is to who talks to %s %s', (address, asTarget, expected) => {
    expect(name(targetsOf(), address, asTarget)).toBe(expected);
  });

  test('the place of a forward out is the gateway', () => {
    const targets = targetsOf();
    targets.addOut(parseForward('out', 'udp:53:192.168.1.9:53'));
    expect(name(targets, '192.168.1.9', '10.0.2.3')).toBe('10.0.2.3');
    expect(name(targets, '192.168.1.9', '8.8.8.8')).toBe('192.168.1.9');
  });

  test('echo to the gateway is answered by its stack; what comes here is refused', () => {
    expect(go(targetsOf(), '10.0.2.2', 0, Icmp)).toBe('Refused');
  });
});
