import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Claimant } from '../../../../src/blocks/hold/claims.ts'
import { copiesWanted, ReferenceLookup, referrersKey } from '../../../../src/blocks/hold/reference-lookup.ts'

const name = (text: string): Uint8Array => Buffer.from(text.padEnd(34, '.'))
const record = (id: string, replicas: number): Claimant => ({ by: 'record', id: Buffer.from(id), replicas })
const node = (text: string): Claimant => ({ by: 'node', multihash: name(text) })
const hex = (text: string): string => Buffer.from(text).toString('hex')

function claims(table: Record<string, Claimant[]>) {
  const asked: string[] = []
  return {
    asked,
    claimants: async function* (multihash: Uint8Array) {
      const key = Buffer.from(multihash).toString().replace(/\.+$/, '')
      asked.push(key)
      yield* table[key] ?? []
    }
  }
}

test('a chunk is needed by every record above it, through nodes of any height', async () => {
  const needs = new ReferenceLookup(
    claims({
      chunk: [node('low'), node('other root')],
      low: [node('top')],
      top: [record('a', 2)],
      'other root': [record('b', 5), record('c', 1)]
    })
  )
  const need = await needs.of(name('chunk'))
  assert.deepEqual(
    [...need.records],
    [
      [hex('a'), { replicas: 2, root: name('top') }],
      [hex('b'), { replicas: 5, root: name('other root') }],
      [hex('c'), { replicas: 1, root: name('other root') }]
    ]
  )
  assert.equal(need.isInPut, false)
  assert.equal(copiesWanted(need), 5)
})

test('a block is in a put if the put claims it or a node above it', async () => {
  const put: Claimant = { by: 'put', put: Buffer.alloc(16) }
  assert.ok((await new ReferenceLookup(claims({ chunk: [put] })).of(name('chunk'))).isInPut)
  assert.ok((await new ReferenceLookup(claims({ chunk: [node('n')], n: [put] })).of(name('chunk'))).isInPut)
})

test('a block that nothing needs wants no copies', async () => {
  const need = await new ReferenceLookup(claims({})).of(name('chunk'))
  assert.equal(copiesWanted(need), 0)
  assert.equal(referrersKey(need), '')
})

test('a node is looked up once, however many chunks it has, and equal sets of records have equal keys', async () => {
  const table = claims({
    one: [node('n')],
    two: [node('n')],
    three: [node('m')],
    n: [record('a', 1), record('b', 1)],
    m: [record('b', 1), record('a', 1)]
  })
  const needs = new ReferenceLookup(table)
  const [one, two, three] = await Promise.all(['one', 'two', 'three'].map(key => needs.of(name(key))))
  assert.equal(table.asked.filter(key => key === 'n').length, 1)
  assert.equal(referrersKey(one!), referrersKey(two!))
  assert.equal(referrersKey(one!), referrersKey(three!))
})

test('the look-up of a block with very many claims ends early, and reports that it is cut', async () => {
  const many = Array.from({ length: 3_000 }, (_, i) => node(`n${i}`))
  const table: Record<string, Claimant[]> = { chunk: many }
  for (let i = 0; i < many.length; i++) table[`n${i}`] = [record(`r${i}`, 2)]
  const { asked, claimants } = claims(table)
  const need = await new ReferenceLookup({ claimants }).of(name('chunk'))
  assert.ok(need.isCut)
  assert.ok(asked.length < 1_100, `${asked.length} looks`)
  assert.ok(!(await new ReferenceLookup({ claimants }).of(name('n7'))).isCut)
})
