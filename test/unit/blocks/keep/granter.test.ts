import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bitmap } from '../../../../src/blocks/bitmap.ts'
import type { BlockPuller } from '../../../../src/blocks/fetch/puller.ts'
import { Claims } from '../../../../src/blocks/hold/claims.ts'
import { Holds } from '../../../../src/blocks/hold/holds.ts'
import { releasedBlockKey } from '../../../../src/blocks/hold/release-rows.ts'
import { HoldGranter } from '../../../../src/blocks/keep/granter.ts'
import { nameBlock } from '../../../../src/format/cid.ts'
import { BLOCK_BYTES_MAX } from '../../../../src/format/constants.ts'
import { defaultNodeCodec as codec } from '../../../../src/format/manifest.ts'
import { Budget } from '../../../../src/util/budget.ts'
import { freerOf, openClaims } from '../../../fixtures/claims-store.ts'
import { silentLogger } from '../../../fixtures/logger.ts'

test('a root that is pulled for another member while its record is released here is looked at again, and freed', async () => {
  const open = await openClaims()
  const { clock, claims, local, store } = open
  const bytes = Buffer.alloc(70_000, 5)
  const root = nameBlock(bytes)
  const claim = Claims.reference(root.multihash.bytes, { by: 'record', id: Buffer.alloc(32, 1), replicas: 1 })
  await claims.add([claim])
  // The last record that needs the block is released while the block is on its way.
  const pull: BlockPuller['pull'] = async (cid, { claim: refer }) => {
    await store.index.batch([{ type: 'del', key: claim.key }])
    await local.keep(cid, bytes, refer)
    return 'peer'
  }
  const granter = new HoldGranter({
    self: 'self',
    clock,
    logger: silentLogger,
    codec,
    local,
    claims,
    puller: { pull } as BlockPuller,
    holds: new Holds(clock),
    memory: new Budget({ bytesMax: BLOCK_BYTES_MAX, ownerBytesMax: BLOCK_BYTES_MAX, reservedBytes: 0 }),
    mayStore: () => true,
    mayHold: () => true,
    viewId: () => new Uint8Array(32)
  })
  const chunks = new Bitmap()
  chunks.add(0)
  const request = { root, first: 0, chunks, fetch: true, view: new Uint8Array(32), nonce: undefined, records: [] }
  const { lacking } = await granter.holdRoot(request, 'peer', new AbortController().signal)
  assert.deepEqual([lacking.has(0), await local.has(root)], [true, true], 'it is here, and nothing claims it')
  assert.ok(await store.index.has(releasedBlockKey(root)), 'the releaser will look at it')
  const { freer } = freerOf(open)
  assert.equal(await freer.execute({ reason: 'unclaimed', cid: root }), undefined)
  assert.equal(await local.has(root), false)
})
