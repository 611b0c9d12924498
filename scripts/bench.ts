/** `npm run bench`: lists the benchmarks, or runs the one that is named, with the flags that follow. */
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { basename, join } from 'node:path'

const folder = join(import.meta.dirname, 'bench')
/** The file that the benchmarks share. It is not a benchmark. */
const SHARED = 'cluster'
const names = globSync('*.ts', { cwd: folder })
  .map(file => basename(file, '.ts'))
  .filter(name => name !== SHARED)
  .sort()
const [name, ...flags] = process.argv.slice(2)
if (name === undefined || !names.includes(name)) {
  console.error(`npm run bench -- NAME [FLAG…], where NAME is one of: ${names.join(', ')}`)
  process.exit(name === undefined ? 0 : 2)
}
process.exit(spawnSync(process.execPath, [join(folder, `${name}.ts`), ...flags], { stdio: 'inherit' }).status ?? 1)
