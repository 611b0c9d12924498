/**
 * `npm test`: types, lint, then the tests; with `--long` the long versions too, with a pattern only files that match
 * it. Under CI a skipped test is a failure, because everything that a test may need is there.
 */
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

const root = join(import.meta.dirname, '..')
const args = process.argv.slice(2)
const isLong = args.includes('--long')
const patterns = args.filter(arg => !arg.startsWith('--'))
/** Three processes on two processors: many of the tests start nodes of their own, and wait for them. */
const FILES_AT_ONCE = 3
const TEST_MS_MAX = 30 * 60_000

if (patterns.length === 0) {
  step('types', ['node_modules/typescript/bin/tsc', '-p', '.'])
  step('lint', ['node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings'])
  step('build', ['scripts/build.ts'])
}
step('programs', ['scripts/bundle.ts'])
process.env['DFS_TEST_PROGRAMS'] ??= join(root, 'node_modules/.cache/programs/dist/bin')
if (isLong) process.env['DFS_LONG'] = '1'
// Hundreds of processes load the same sources: each after the first finds them compiled.
process.env['NODE_COMPILE_CACHE'] ??= join(root, 'node_modules/.cache/compiled')
const files = globSync('test/**/*.test.ts', { cwd: root })
  .filter(file => patterns.length === 0 || patterns.some(pattern => file.includes(pattern)))
  .map(file => join(root, file))
let failed = 0
let skipped = 0
const execArgv = ['no-async-hooks', 'property-seed'].flatMap(name => [
  '--import',
  join(root, `test/fixtures/${name}.ts`)
])
const events = run({ files, execArgv, concurrency: FILES_AT_ONCE, timeout: TEST_MS_MAX })
events.on('test:fail', () => failed++)
events.on('test:pass', ({ skip }) => {
  if (skip !== undefined) skipped++
})
events.compose(new spec()).pipe(process.stdout)
await new Promise(resolve => events.once('end', resolve))
if (files.length === 0) fail('no test file matches')
if (failed > 0) fail(`${failed} tests failed`)
if (skipped > 0 && process.env['CI'] === 'true') fail(`${skipped} tests were skipped, and CI skips none`)

function step(name: string, command: string[]): void {
  const started = performance.now()
  const { status } = spawnSync(process.execPath, command, { cwd: root, stdio: 'inherit' })
  if (status !== 0) fail(`${name} failed`)
  console.log(`${name}: ok (${((performance.now() - started) / 1000).toFixed(1)} s)`)
}

function fail(message: string): never {
  console.error(message)
  process.exit(1)
}
