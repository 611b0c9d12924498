import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BlockUnreachableError } from '../../../../src/blocks/errors.ts'
import { Claims } from '../../../../src/blocks/hold/claims.ts'
import { Ranking } from '../../../../src/blocks/rank.ts'
import { EVICTED_MS } from '../../../../src/blocks/repair/constants.ts'
import { EvictedBlocks } from '../../../../src/blocks/repair/evicted-blocks.ts'
import type { Walked } from '../../../../src/blocks/repair/unfinished-records.ts'
import { RecordWalker } from '../../../../src/blocks/repair/walker.ts'
import { type BlockCid, blockKey, nameBlock } from '../../../../src/format/cid.ts'
import { defaultNodeCodec as codec } from '../../../../src/format/manifest.ts'
import { openClaims } from '../../../fixtures/claims-store.ts'
import { silentLogger } from '../../../fixtures/logger.ts'
import { sealInMemory } from '../../../fixtures/sealed-files.ts'
import { seededChance } from '../../../fixtures/seeded-chance.ts'
import { peerOf, viewOf } from '../../../fixtures/views.ts'

const [self, author] = [peerOf(1), peerOf(2)]

/** A file whose root links to three nodes, of 1,024, 1,024 and 252 chunks. */
const { root, blocks } = await sealInMemory(seededChance(1).bytes(2_300 * 64), { chunkBytes: 64 })
const record = { id: Buffer.alloc(32, 9), root: root!.cid, replicas: 1, author }

/** The walker of a member that is alone in the view, and gets all blocks of the file from the author. */
async function setup() {
  const { clock, claims, local, store, blockstore } = await openClaims()
  const ranking = new Ranking(viewOf(1))
  const state = { nodeMs: 0, chunkMs: 0, pulled: 0, nodes: 0, lost: new Set<string>() }
  const take = (cid: BlockCid): Uint8Array => {
    if (state.lost.has(blockKey(cid))) throw new BlockUnreachableError(cid)
    return blocks.get(blockKey(cid)) as Uint8Array
  }
  const walker = new RecordWalker({
    self,
    clock,
    logger: silentLogger,
    codec,
    index: store.index,
    local,
    claims,
    evicted: new EvictedBlocks(store.index),
    nodes: { isClaiming: async () => true },
    ranking: () => ranking,
    write: ops => store.index.batch(ops),
    takeLinkedPuts: () => [],
    linkedPuts: () => [],
    fetcher: {
      fetch: async (cid: BlockCid) => {
        const here = await local.get(cid)
        if (here !== undefined) return { bytes: here, from: self, release: () => {} }
        state.nodes++
        clock.advance(state.nodeMs)
        return { bytes: take(cid), from: author, release: () => {} }
      }
    } as never,
    puller: {
      pull: async (cid: BlockCid) => {
        clock.advance(state.chunkMs)
        await local.keep(cid, take(cid))
        state.pulled++
        return author
      }
    } as never,
    onError: error => assert.fail(error as Error)
  })
  await claims.add([Claims.reference(record.root.multihash.bytes, { by: 'record', id: record.id, replicas: 1 })])
  const walk = (from = 0): Promise<Walked> => walker.walk(record, { from, signal: new AbortController().signal })
  return { clock, claims, state, walk, blockstore, store }
}

test('a walk of a file whose blocks arrive slowly ends with its turn, and the next one continues there', async () => {
  const { state, walk } = await setup()
  // A block a second: thirty in a turn.
  Object.assign(state, { nodeMs: 1_000, chunkMs: 1_000 })
  const { outcome } = await walk()
  assert.ok(outcome.isCut)
  assert.equal(outcome.missingNodes, 0, 'nodes behind the end of the turn were not asked for')
  assert.ok(state.pulled >= 20 && state.pulled <= 40, `${state.pulled} chunks`)
  assert.ok(outcome.position >= 20 && outcome.position <= state.pulled, `goes on at ${outcome.position}`)
  const before = state.pulled
  const second = (await walk(outcome.position)).outcome
  assert.ok(state.pulled > before)
  assert.ok(second.position > outcome.position)
  Object.assign(state, { nodeMs: 0, chunkMs: 0 })
  const last = (await walk(second.position)).outcome
  assert.deepEqual([last.isCut, last.missingChunks, last.missingNodes], [false, 0, 0])
  assert.equal(state.pulled, 2_300)
})

test('a node that is lost hides only the chunks below it', async () => {
  const { state, walk } = await setup()
  const nodes = [...blocks.entries()].filter(([, bytes]) => bytes.byteLength > 10_000)
  // The first full node that was made is the first child of the root.
  state.lost.add((nodes[0] as [string, Uint8Array])[0])
  const { outcome } = await walk()
  assert.deepEqual([outcome.missingNodes, outcome.missingChunks, outcome.position], [1, 0, 0])
  assert.equal(state.pulled, 2_300 - 1_024)
  state.lost.clear()
  const { outcome: second } = await walk(outcome.position)
  assert.deepEqual([second.missingNodes, second.missingChunks], [0, 0])
  assert.equal(state.pulled, 2_300)
})

test('an evicted chunk is owed again once its time has come, or lies years ahead, and is forgotten as evicted', async () => {
  const { clock, state, walk, store } = await setup()
  const evicted = new EvictedBlocks(store.index)
  const chunks = [...blocks.values()].filter(({ byteLength }) => byteLength < 1_000).map(bytes => nameBlock(bytes))
  const [early, late, wrong] = chunks as [BlockCid, BlockCid, BlockCid]
  const owedAgainAtMs = clock.now() + EVICTED_MS
  await evicted.add(early, owedAgainAtMs)
  await evicted.add(late, clock.now())
  await evicted.add(wrong, clock.now() + 100_000 * EVICTED_MS)
  const { outcome } = await walk()
  assert.deepEqual([state.pulled, outcome.owedAgainAtMs], [2_299, owedAgainAtMs])
  assert.deepEqual(await evicted.owedAgainAtMs([early, late, wrong]), [owedAgainAtMs, 0, 0])
})

test('a walk writes a reference once, not again at each walk', async t => {
  const { walk, store } = await setup()
  await walk()
  const batch = t.mock.method(store.index, 'batch')
  await walk()
  assert.deepEqual(
    batch.mock.calls.flatMap(({ arguments: [ops] }) => ops),
    []
  )
})
