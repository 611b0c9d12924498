/** Builds the package: JavaScript and declarations in dist/, and the programs as they are. */
import { execFileSync } from 'node:child_process'
import { chmod, copyFile, mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const bin = join(root, 'dist/bin')

await removeStale()
execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'scripts/tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit'
})
await mkdir(bin, { recursive: true })
for (const name of await readdir(join(root, 'src/bin'))) {
  // tsc does not copy JavaScript.
  await copyFile(join(root, 'src/bin', name), join(bin, name))
  await chmod(join(bin, name), 0o755)
}

/**
 * Removes dist/ if it holds the output of a source that no longer exists, because that would be published with the
 * rest. Then everything is built again.
 */
async function removeStale(): Promise<void> {
  const built = await readdir(join(root, 'dist'), { recursive: true }).catch(() => [])
  for (const name of built) {
    if (!name.endsWith('.js') || name.startsWith('bin')) continue
    const source = join(root, 'src', name.replace(/\.js$/, '.ts'))
    if ((await stat(source).catch(() => undefined)) !== undefined) continue
    await rm(join(root, 'dist'), { recursive: true })
    await rm(join(root, 'node_modules/.cache/build.tsbuildinfo'), { force: true })
    return
  }
  // If the output is gone, the compiler's record of what it has built is wrong.
  if (built.length === 0) await rm(join(root, 'node_modules/.cache/build.tsbuildinfo'), { force: true })
}
