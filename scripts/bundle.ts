/**
 * Bundles the programs for the tests. A test run starts some hundred processes. Without a bundle each of them loads 1,800
 * modules and spends most of its time on that. The published package is not bundled, so that npm can update our
 * dependencies in it.
 */
import { copyFile, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'

const root = join(import.meta.dirname, '..')
const folder = join(root, 'node_modules/.cache/programs')
const bin = join(folder, 'dist/bin')

await rm(folder, { recursive: true, force: true })
await build({
  entryPoints: ['src/daemon/main.ts', 'src/cli/dfs.ts'].map(file => join(root, file)),
  outbase: join(root, 'src'),
  outdir: join(folder, 'dist'),
  // The sources find the programs and package.json beside their own folder, and so do these pieces.
  chunkNames: 'pieces/[name]-[hash]',
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node22',
  external: ['classic-level', '@napi-rs/blake-hash'],
  banner: {
    js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url)"
  },
  logLevel: 'error'
})
await copyFile(join(root, 'package.json'), join(folder, 'package.json'))
await mkdir(bin, { recursive: true })
for (const name of await readdir(join(root, 'src/bin'))) await copyFile(join(root, 'src/bin', name), join(bin, name))
