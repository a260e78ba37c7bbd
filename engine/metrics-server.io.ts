// GET /metrics for a Prometheus server; loopback unless told otherwise.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { UsageError } from '../core/assert.ts';

/** Serves one page. */
export class MetricsServer {
  private readonly server: Server;

  constructor(text: () => Promise<string>) {
    this.server = createServer((request, response) => {
      if (request.method !== 'GET' || request.url !== '/metrics') {
        response.writeHead(404).end('GET /metrics\n');
        return;
      }
      text().then(
        (body) => response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(body),
        () => response.writeHead(500).end(),
      );
    });
    this.server.maxConnections = 64;
  }

  /** Resolves to `host:port`. */
  listen({ host, port }: { host: string; port: number }): Promise<string> {
    return new Promise((resolve, reject) => {
      this.server.on('error', (error: NodeJS.ErrnoException) => {
        reject(new UsageError(`metrics: cannot listen on ${host}:${port} (${error.code}); choose another port`));
      });
      this.server.listen(port, host, () => resolve(`${host}:${(this.server.address() as AddressInfo).port}`));
    });
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}
