// Bundles the command into dist/: one small entry that answers at once, and chunks that are loaded when needed; and the
// stack for programs and pages, in one file that needs nothing of its platform.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';

rmSync('dist', { recursive: true, force: true });

await build({
  entryPoints: {
    weft: 'cli/main.ts',
    fabric: 'engine/fabric-worker.io.ts',
    enter: 'cli/enter.ts',
    net: 'cli/net.ts',
    bench: 'bench/main.ts',
    'bench-generator': 'bench/generator.ts',
    'bench-stack': 'bench/stack-load.ts',
    'bench-echo': 'bench/echo-load.ts',
  },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  external: ['koffi', 'bufferutil', 'utf-8-validate'],
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
});

await build({
  entryPoints: { stack: 'stack/library.ts' },
  outdir: 'dist',
  bundle: true,
  minify: true,
  format: 'esm',
  platform: 'neutral',
  target: 'es2022',
  logLevel: 'warning',
});

const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
execFileSync(process.execPath, [join(typescript, 'bin/tsc'), '-p', 'tsconfig.library.json'], { stdio: 'inherit' });
