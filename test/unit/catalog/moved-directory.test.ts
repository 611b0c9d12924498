import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Author } from '../../../src/catalog/author.ts'
import { Catalog } from '../../../src/catalog/catalog.ts'
import { parsePath } from '../../../src/format/path.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { directoryAt, fileWith, keys, Setup, sign, writer } from './setup.ts'

/** The catalog of a writer over the tree of `setup`. */
function catalogOfWriter(setup: Setup): Catalog {
  const { tree, bodies, clock, chance, log, versions } = setup
  const author = new Author({ self: writer, keys, chance, bodies, nodeCodecs: [0x71] })
  const rest = { clock, chance, log, logger: silentLogger, assertMayWrite: () => {}, versions }
  return new Catalog({ tree, bodies, author, self: writer, ...rest })
}

test('a writer moves a directory that somebody else deleted and that shows again, and it is not deleted any more', async () => {
  const setup = await Setup.open()
  const [entry, child] = [Buffer.alloc(16, 1), Buffer.alloc(16, 2)]
  const made = sign({ entry, ...directoryAt('d') })
  const file = sign({ entry: child, by: writer, ...fileWith('x', { parent: entry, name: 'f' }) })
  const { stamp } = made.record
  const deleted = sign({ entry, op: 'delete', seen: [stamp], placed: stamp, ...directoryAt('d') })
  await setup.add(made)
  await setup.add(deleted)
  await setup.add(file)
  assert.deepEqual(await setup.paths(), ['/d', '/d/f'])
  const catalog = catalogOfWriter(setup)
  await catalog.move(parsePath('/d'), parsePath('/e'), { replicas: 1 })
  assert.deepEqual(await setup.paths(), ['/e', '/e/f'])
  await catalog.remove(parsePath('/e/f'), {})
  assert.deepEqual(await setup.paths(), ['/e'])
})
