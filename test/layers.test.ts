import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'

const SRC = join(import.meta.dirname, '../src')

/** From the top down. A room imports only from rooms below it; rooms on one line do not know each other. */
const COLUMN: string[][] = [
  ['bin'],
  ['daemon'],
  ['cli', 'http'],
  ['contract', 'terminal'],
  ['flow'],
  ['index'],
  ['node'],
  ['api'],
  ['options'],
  ['events', 'status'],
  ['fs'],
  ['catalog'],
  ['blocks'],
  ['members'],
  ['log'],
  ['wire', 'disk'],
  ['format'],
  ['util']
]
/** The same inside blocks, the largest room: its folders, and above them the files that put them together. */
const BLOCKS_COLUMN: string[][] = [
  ['blocks', 'compose-blocks', 'compose', 'compose-repair', 'options'],
  ['put', 'repair', 'keep'],
  ['fetch'],
  ['hold'],
  ['protocol'],
  ['manifest-walk', 'memory', 'rank', 'record-ref', 'uplink', 'log-names', 'errors'],
  ['bitmap', 'constants', 'log2-table']
]
/**
 * The files of each room that others may import. `format` and `util` are vocabularies, `fs` has a verb a file, and the
 * small rooms of the faces are public as a whole. The composition root, `node`, names concrete classes and may import
 * any.
 */
const PUBLIC: Record<string, readonly string[]> = {
  http: ['listen', 'server'],
  node: ['create', 'recovery'],
  catalog: [
    'author',
    'catalog',
    'change',
    'content-tag',
    'errors',
    'feed/change-feed',
    'past/past',
    'projection',
    'record-paths',
    'tree',
    'tree-node',
    'versions/versions'
  ],
  blocks: ['blocks', 'constants', 'errors', 'record-ref'],
  members: [
    'entering/invite',
    'errors',
    'founding',
    'key-ring',
    'local-member',
    'members',
    'obstacles',
    'types',
    'view'
  ],
  log: ['keys', 'log', 'projection', 'sync'],
  wire: ['addresses', 'calls', 'constants', 'dial-failure', 'errors', 'host', 'libp2p-host', 'origin', 'redial'],
  disk: [
    ...[
      'constants',
      'errors',
      'files',
      'index-db',
      'index-sink',
      'keystore',
      'monitored-files',
      'place',
      'row-projection'
    ],
    ...['store', 'tables']
  ]
}
/** The faces use only the library, as any user's program does. */
const FACES = new Set(['bin', 'daemon', 'cli', 'http', 'contract', 'terminal', 'flow'])
/** The only files besides the library that the faces use: small tools of any program. They load nothing else. */
const SHARED_TOOLS = new Set(['buffer-pool', 'limiter', 'system-words'].map(name => join(SRC, `util/${name}.ts`)))
/** These faces do their own input and output. The other two are pure, or only pass on what they are given. */
const PROGRAMS = new Set(['bin', 'daemon', 'cli', 'http', 'terminal'])

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/g

function importsOf(text: string): string[] {
  return [...text.matchAll(IMPORT)].map(([, from, bare, dynamic]) => (from ?? bare ?? dynamic) as string)
}

function roomOf(file: string): string {
  const [first] = relative(SRC, file).split('/') as [string]
  return first.replace(/\.(ts|js)$/, '')
}

function levelOf(room: string, column = COLUMN): number {
  const level = column.findIndex(rooms => rooms.includes(room))
  assert.notEqual(level, -1, `room ${room} is not in the column`)
  return level
}

/** The files of this tree that a file imports, absolute. */
function targetsOf({ file, text }: { file: string; text: string }): string[] {
  return importsOf(text)
    .filter(target => target.startsWith('.'))
    .map(target => join(dirname(file), target))
}

const files = globSync('**/*.{ts,js}', { cwd: SRC }).map(file => ({
  file: join(SRC, file),
  name: file,
  text: readFileSync(join(SRC, file), 'utf8')
}))

test('imports are found in every form they take', () => {
  const text = [
    "import a from './a.ts'",
    "import {\n  b,\n  type C\n} from './b.ts'",
    "export type * from './d.ts'",
    "import './e.ts'",
    "await import('./f.ts')"
  ].join('\n')
  assert.deepEqual(importsOf(text), ['./a.ts', './b.ts', './d.ts', './e.ts', './f.ts'])
})

test('a room imports only from those below it', () => {
  for (const { file, name, text } of files) {
    const room = roomOf(file)
    for (const target of importsOf(text).filter(target => target.startsWith('.'))) {
      const other = roomOf(join(dirname(file), target))
      if (other === room) continue
      assert.ok(levelOf(other) > levelOf(room), `${name} imports ${target}: ${other} is not below ${room}`)
      if (FACES.has(room) && !SHARED_TOOLS.has(join(dirname(file), target)))
        assert.ok(FACES.has(other) || other === 'index', `${name} imports ${target}, not the library`)
    }
  }
})

test('the tools that the faces share load nothing else', () => {
  const tools = files.filter(({ file }) => SHARED_TOOLS.has(file))
  assert.equal(tools.length, SHARED_TOOLS.size)
  for (const { name, text } of tools) assert.deepEqual(importsOf(text), [], name)
})

test('a room imports only the public files of another', () => {
  for (const source of files) {
    const room = roomOf(source.file)
    if (room === 'node') continue
    for (const target of targetsOf(source)) {
      const other = roomOf(target)
      const path = relative(join(SRC, other), target).replace(/\.ts$/, '')
      if (other === room || PUBLIC[other] === undefined) continue
      assert.ok(PUBLIC[other].includes(path), `${source.name} imports ${other}/${path}, which is no public file`)
    }
  }
})

test('every file that is called public exists and is imported by another room', () => {
  const imported = new Set(
    files.flatMap(source => targetsOf(source).filter(target => roomOf(target) !== roomOf(source.file)))
  )
  for (const [room, names] of Object.entries(PUBLIC))
    for (const name of names) assert.ok(imported.has(join(SRC, room, `${name}.ts`)), `${room}/${name}`)
})

test('a folder of blocks imports only from folders below it', () => {
  const root = join(SRC, 'blocks')
  const folderOf = (file: string): string => (relative(root, file).split('/') as [string])[0].replace(/\.ts$/, '')
  for (const source of files) {
    if (roomOf(source.file) !== 'blocks') continue
    const folder = folderOf(source.file)
    for (const target of targetsOf(source)) {
      const other = folderOf(target)
      const isOnTop = ['blocks', 'compose-blocks', 'compose', 'compose-repair'].includes(folder)
      if (roomOf(target) !== 'blocks' || other === folder || isOnTop) continue
      const isBelow = levelOf(other, BLOCKS_COLUMN) > levelOf(folder, BLOCKS_COLUMN)
      assert.ok(isBelow, `${source.name} imports ${other}, which is not below ${folder}`)
    }
  }
})

test('no files import each other in a circle', () => {
  const byFile = new Map(files.map(source => [source.file, targetsOf(source)]))
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file))
      assert.fail([...path.slice(path.indexOf(file)), file].map(f => relative(SRC, f)).join(' → '))
    if (done.has(file)) return
    for (const target of byFile.get(file) ?? []) visit(target, [...path, file])
    done.add(file)
  }
  for (const file of byFile.keys()) visit(file, [])
})

test('the disk is touched in one room and by the programs only', () => {
  for (const { file, name, text } of files) {
    if (roomOf(file) === 'disk' || PROGRAMS.has(roomOf(file)) || name === 'wire/port-holder.ts') continue
    assert.ok(!importsOf(text).some(target => /^(node:)?fs/.test(target)), `${name} imports the file system`)
  }
})

test('time and chance come through ports', () => {
  for (const { file, name, text } of files) {
    if (roomOf(file) === 'util' || PROGRAMS.has(roomOf(file))) continue
    const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
    assert.doesNotMatch(code, /\bDate\.now\(|\bMath\.random\(|\bsetTimeout\(|\bsetInterval\(|\brandomBytes\(/, name)
  }
})

test('nothing is exported by default', () => {
  for (const { name, text } of files) assert.doesNotMatch(text, /(^|\n)export default\b/, name)
})

test('the contract is pure: it reads no file, opens no socket, and loads nothing of the platform', () => {
  for (const { file, name, text } of files)
    if (roomOf(file) === 'contract') assert.ok(!importsOf(text).some(target => target.startsWith('node:')), name)
})

test('the two programs do not know each other', () => {
  for (const { file, name, text } of files) {
    if (roomOf(file) !== 'daemon') continue
    for (const target of importsOf(text).filter(target => target.startsWith('.')))
      assert.notEqual(roomOf(join(dirname(file), target)), 'cli', `${name} imports ${target}`)
  }
})

/** The only files of `dfs` that load the library, once a command needs it. */
const LOADS_LATER: readonly string[] = ['cli/commands/network.ts']

/** An import of `node:http` loads Node's `fetch`, HTTP/2 and TLS too: see cli/transport.ts. */
const SLOW_TO_LOAD: readonly string[] = ['zod', 'node:http']

test('dfs starts at once: it talks to a node and loads neither the node nor its server', () => {
  const textOf = new Map(files.map(({ file, text }) => [file, text]))
  const loaded = new Set<string>()
  const load = (file: string): void => {
    if (loaded.has(file)) return
    loaded.add(file)
    const code = (textOf.get(file) ?? '').replace(/(^|\n)\s*(import|export) type\b[^'"]*['"][^'"]+['"]/g, '')
    const later = [...code.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g)].map(([, target]) => target as string)
    assert.ok(file === program || later.length === 0 || LOADS_LATER.includes(relative(SRC, file)), `${file}: ${later}`)
    for (const target of importsOf(code)) {
      assert.ok(!SLOW_TO_LOAD.includes(target), `${file} loads ${target}, which takes longer than the rest of dfs`)
      const isCommand = target.startsWith('./commands/')
      assert.ok(!isCommand || later.includes(target), `${file} loads ${target} for every command`)
      if (target.startsWith('.') && (isCommand || !later.includes(target))) load(join(dirname(file), target))
    }
  }
  const program = join(SRC, 'cli/dfs.ts')
  load(program)
  assert.ok(loaded.has(join(SRC, 'cli/client.ts')))
  const rooms = new Set(['cli', 'contract', 'terminal', 'flow'])
  assert.deepEqual(
    [...loaded]
      .filter(file => !SHARED_TOOLS.has(file))
      .map(file => relative(SRC, file))
      .filter(file => !rooms.has(roomOf(join(SRC, file)))),
    []
  )
})
