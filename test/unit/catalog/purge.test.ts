import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Records } from '../../../src/catalog/change.ts'
import { parsePath } from '../../../src/format/path.ts'
import { contentOf, fileWith, Setup, sign } from './setup.ts'

const flagsOf = (records: Records) => records.map(({ fields: { op, purge } }) => `${op} ${purge === true}`)

test('a purge of a file or of a whole directory says so in each of its deletes, and a removal in none', async () => {
  const setup = await Setup.open()
  const records: Records = []
  const onAppended = async (appended: Records): Promise<void> => {
    records.push(...appended)
  }
  for (const path of ['/f', '/d/a', '/d/e/b', '/g'])
    await setup.catalog.link(parsePath(path), contentOf(path), { replicas: 1 })
  await setup.catalog.remove(parsePath('/f'), { purge: true, onAppended })
  assert.deepEqual(flagsOf(records.splice(0)), ['delete true'])
  await setup.catalog.remove(parsePath('/d'), { recursive: true, purge: true, onAppended })
  assert.deepEqual(
    flagsOf(records.splice(0)),
    Array.from({ length: 4 }, () => 'delete true')
  )
  await setup.catalog.remove(parsePath('/g'), { onAppended })
  assert.deepEqual(flagsOf(records.splice(0)), ['delete false'])
  assert.deepEqual(await setup.listing(), [])
})

test('a conflict version cannot be purged without its file', async () => {
  const setup = await Setup.open()
  const entry = Buffer.alloc(16, 1)
  for (const text of ['one', 'two']) await setup.add(sign({ entry, ...fileWith(text, { name: 'f' }) }))
  const conflict = (await setup.paths()).find(path => path.includes('conflict')) as string
  await assert.rejects(setup.catalog.remove(parsePath(conflict), { purge: true }), { code: 'invalid' })
  await setup.catalog.remove(parsePath('/f'), { purge: true })
  assert.deepEqual(await setup.listing(), [])
})
