// The programs that stand at the ends of a gateway: `serve HOST PORT`, `ask HOST PORT SECONDS`, `crowd HOST PORT COUNT`.

import { quantile } from './kit/statistics.ts';
import { askEcho, crowd, serveEcho } from './load/echo.ts';

const [what, host = '', port = '', amount = ''] = process.argv.slice(2);
try {
  if (what === 'serve') serveEcho(host, Number(port));
  else if (what === 'ask') {
    const sorted = askEcho(host, Number(port), Number(amount));
    const report = { 'p50 µs': quantile(sorted, 0.5), 'p99 µs': quantile(sorted, 0.99) };
    process.stdout.write(`${JSON.stringify(report)}\n`);
  } else if (what === 'crowd') {
    await crowd(host, Number(port), Number(amount));
    process.stdout.write('open\n'); // and stays until it is ended
  } else throw new Error(`${what}: serve, ask or crowd`);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exit(1);
}
