// Gateways by what they carry: TCP and UDP of iperf3, requests, names, round trips, crowds of connections. All gateways run
// at once in one host, each with a guest of its own; nothing is pinned. Ratios are ours / theirs.

import {
  CPU_EACH,
  crowdLoad,
  dnsLoad,
  echoLoad,
  GATEWAY_CPU,
  GBITS,
  type IperfLoad,
  iperfLoad,
  LOSS,
  MACHINE_CPU,
  PER_SECOND,
  webLoad,
} from './kit/gateway-loads.ts';
import { type GatewayCase, gatewayRounds } from './kit/gateway-rounds.ts';
import { WORLD } from './kit/gateway-world.ts';
import type { Benchmark } from './kit/options.ts';

const FORWARDER = '10.0.2.3';
const REQUEST_SECONDS = 2;
const CROWD = 1000;
const UDP_MBITS = [200, 500, 1000];

const iperfCase = (name: string, load: IperfLoad): GatewayCase => ({
  name: `${name}, ${load.isReverse ? 'guest receives' : 'guest sends'}`,
  sample: (gateway, world) => iperfLoad(gateway, world, load),
});

/** TCP throughput and what it costs. */
export const gateway: Benchmark = {
  name: 'gateway',
  about: 'gateways, TCP by iperf3: weft, libslirp, slirp4netns, pasta (root)',
  run: (options) => {
    const cases = [false, true].flatMap((isReverse) => [
      iperfCase('IPv4, 1 stream', { family: 4, isReverse }),
      iperfCase('IPv4, 8 streams', { family: 4, streams: 8, isReverse }),
      iperfCase('IPv6, 1 stream', { family: 6, isReverse }),
    ]);
    const metrics = [{ title: GBITS }, { title: MACHINE_CPU }, { title: GATEWAY_CPU }];
    return gatewayRounds({ servers: [], cases, metrics }, options);
  },
};

/** Requests: connections that come and go, connections that stay, names. */
export const gatewayRequests: Benchmark = {
  name: 'gateway-requests',
  about: 'gateways: connect, request, close; requests on kept connections; questions to a name server (root)',
  run: (options) => {
    const cases: GatewayCase[] = [
      { name: 'requests, kept connections', sample: (gateway) => webLoad(gateway, true, REQUEST_SECONDS) },
      { name: 'DNS', sample: (gateway) => dnsLoad(gateway, WORLD[4], REQUEST_SECONDS) },
      {
        name: 'DNS, ours by its forwarder',
        sample: (gateway) => dnsLoad(gateway, FORWARDER, REQUEST_SECONDS),
        theirs: (gateway) => dnsLoad(gateway, WORLD[4], REQUEST_SECONDS),
      },
      { name: 'connect, request, close', sample: (gateway) => webLoad(gateway, false, REQUEST_SECONDS) },
    ];
    const metrics = [{ title: PER_SECOND }, { title: CPU_EACH }];
    return gatewayRounds({ servers: ['nginx', 'dnsmasq'], cases, metrics }, options);
  },
};

/** Datagrams at equal rates. */
export const gatewayUdp: Benchmark = {
  name: 'gateway-udp',
  about: 'gateways: datagrams of 1,400 bytes at equal rates, what is lost (root)',
  run: (options) => {
    const cases = [false, true].flatMap((isReverse) =>
      UDP_MBITS.map((mbits) => iperfCase(`${mbits} Mbit/s`, { family: 4, isReverse, mbits })),
    );
    return gatewayRounds({ servers: [], cases, metrics: [{ title: LOSS, isRatio: false }, { title: GBITS }] }, options);
  },
};

/** Round trips on an open connection. */
export const gatewayRtt: Benchmark = {
  name: 'gateway-rtt',
  about: 'gateways: 64 bytes there and back on an open TCP connection (root)',
  run: (options) => {
    const cases = [{ name: '64 bytes', sample: echoSample(options.seconds) }];
    return gatewayRounds({ servers: ['echo'], cases, metrics: [{ title: 'p50 µs' }, { title: 'p99 µs' }] }, options);
  },
};

const echoSample =
  (seconds: number): GatewayCase['sample'] =>
  (gateway) =>
    echoLoad(gateway, seconds);

/** Memory with many connections. */
export const gatewayCrowd: Benchmark = {
  name: 'gateway-crowd',
  about: `gateways: resident memory with ${CROWD} open connections (root)`,
  run: (options) => {
    const cases = [{ name: `${CROWD} connections`, sample: crowdSample }];
    const metrics = [{ title: 'RSS MiB' }, { title: 'more MiB', isRatio: false }];
    return gatewayRounds({ servers: ['nginx'], cases, metrics }, options);
  },
};

const crowdSample: GatewayCase['sample'] = (gateway) => crowdLoad(gateway, CROWD);
