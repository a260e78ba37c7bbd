// Bundles the command into dist/: one small entry that answers at once, and chunks that are loaded when needed.
import { rmSync } from 'node:fs';
import { build } from 'esbuild';

rmSync('dist', { recursive: true, force: true });

await build({
  entryPoints: {
    weft: 'cli/main.ts',
    fabric: 'engine/fabric-worker.io.ts',
    enter: 'cli/enter.ts',
    bench: 'bench/main.ts',
    'bench-generator': 'bench/generator.ts',
    'bench-stack': 'bench/stack-load.ts',
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
