import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FreshBlocks } from '../../../../src/blocks/hold/fresh-blocks.ts'
import { type BlockCid, cidOfMultihash, nameBlock } from '../../../../src/format/cid.ts'
import { defaultNodeCodec } from '../../../../src/format/manifest.ts'
import { freerOf, openClaims } from '../../../fixtures/claims-store.ts'

const bytes = Buffer.alloc(5_000, 'small ')
const cid = nameBlock(bytes)

/** The blocks that are left to the releaser, in order. */
function recorded() {
  const left: BlockCid[] = []
  return { left, fresh: new FreshBlocks(cids => left.push(...cids)) }
}

test('a block without a claim is not freed while it waits for its record', async () => {
  const open = await openClaims()
  const { local } = open
  const free = (): Promise<unknown> => freerOf(open).freer.execute({ reason: 'unclaimed', cid })
  const end = local.fresh.protect([cid])
  await local.keepFresh([{ cid, bytes }])
  await free()
  assert.ok(await local.has(cid))
  end()
  await free()
  assert.ok(!(await local.has(cid)))
})

test('a block whose record does not come is left to the releaser, once everyone who waited has gone', () => {
  const { fresh, left } = recorded()
  const ends = [fresh.protect([cid]), fresh.protect([cid])]
  fresh.noteStored(cid)
  for (const end of ends) {
    assert.deepEqual(left, [])
    assert.ok(fresh.isProtected(cid))
    end()
  }
  assert.deepEqual(left, [cid])
  assert.ok(!fresh.isProtected(cid))
})

test('a block that was not stored, or to which a record refers, is not left to anybody', () => {
  const { fresh, left } = recorded()
  fresh.protect([cid])()
  const end = fresh.protect([cid])
  fresh.noteStored(cid)
  fresh.noteReferenced(cid)
  end()
  assert.deepEqual(left, [])
})

test('a block counts as stored only from its write to the end of its protection, and a manifest node never does', () => {
  const { fresh } = recorded()
  fresh.noteStored(cid)
  assert.ok(!fresh.isStored(cid))
  const end = fresh.protect([cid])
  assert.ok(!fresh.isStored(cid))
  fresh.noteStored(cid)
  assert.ok(fresh.isStored(cid))
  assert.ok(!fresh.isStored(cidOfMultihash(cid.multihash.bytes, defaultNodeCodec.code)))
  end()
  assert.ok(!fresh.isStored(cid))
})
