import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PutWindow } from '../../../../src/blocks/put/window.ts'
import { nameBlock } from '../../../../src/format/cid.ts'

const bytes = Buffer.from('a block')
const cid = nameBlock(bytes)

test('members can pull a block from the window until its put releases it', async () => {
  const window = new PutWindow()
  assert.equal(window.get(cid, 'a'), undefined)
  const release = window.add(cid, bytes)
  assert.equal(window.get(cid, 'a'), bytes)
  release(new Set(['a']))
  assert.equal(window.get(cid, 'a'), undefined)
})

test('a buffer is free once every member that pulled it has said that it keeps the block, and not before', async () => {
  const window = new PutWindow()
  const held = async (takers: string[], keptBy: string[]): Promise<boolean> => {
    const release = window.add(cid, bytes)
    for (const taker of takers) window.get(cid, taker)
    return release(new Set(keptBy))
  }
  assert.equal(await held([], []), true)
  assert.equal(await held(['a'], ['a', 'b']), true)
  assert.equal(await held(['a', 'b'], ['a']), false)
  assert.equal(await held(['a'], []), false)
})

test('the last of two puts to release a block decides, and only about its own buffer', async () => {
  const window = new PutWindow()
  const twin = Buffer.from(bytes)
  const first = window.add(cid, bytes)
  const second = window.add(cid, twin)
  assert.equal(window.get(cid, 'a'), bytes)
  assert.equal(first(new Set(['a'])), false)
  assert.equal(window.get(cid, 'a'), bytes)
  assert.equal(second(new Set(['a'])), false)
  assert.equal(window.get(cid, 'a'), undefined)
})
