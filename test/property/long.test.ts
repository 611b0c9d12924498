import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { pipe } from 'it-pipe'
import { fixedChunker } from '../../src/format/chunker.ts'
import { type BlockCid, blockKey } from '../../src/format/cid.ts'
import { defaultNodeCodec, type FileRoot } from '../../src/format/manifest.ts'
import { openChunkOf, sealFile } from '../../src/format/seal-file.ts'
import { chunksInRange } from '../../src/fs/chunks-in-range.ts'
import { contentSubkey as subkey } from '../fixtures/keys.ts'
import { generated } from '../fixtures/streams.ts'

/** With `DFS_LONG=1`, as `npm run test:long` sets it, five gigabytes; else a version short enough for every day. */
const MIB = 1 << 20
const TOTAL = (process.env['DFS_LONG'] === '1' ? 5 * 1024 : 64) * MIB
/** How much more memory may be resident than before. Nothing in it grows with the file. */
const GROWTH_MAX = 256 * MIB

test(`${TOTAL / MIB} MiB, sealed and opened as they stream by, in bounded memory`, { timeout: 1_200_000 }, async t => {
  const before = process.memoryUsage.rss()
  let peak = 0
  const watch = (): void => {
    peak = Math.max(peak, process.memoryUsage.rss() - before)
  }
  const sealed = () => pipe(generated(TOTAL), fixedChunker(), sealFile({ subkey }))
  // The keys come last: a first pass keeps the nodes, a second, which gives the same blocks, opens the chunks.
  const nodes = new Map<string, Uint8Array>()
  let root: FileRoot | undefined
  for await (const block of sealed()) {
    if (block.chunkIndex === null) nodes.set(blockKey(block.cid), block.bytes)
    if (block.root !== undefined) root = block.root
    watch()
  }
  assert.equal(root?.size, TOTAL)
  assert.equal(root.leaves, TOTAL / MIB)
  const chunks = sealed()
  const opened = createHash('sha256')
  const read = async (cid: BlockCid): Promise<Uint8Array> => nodes.get(blockKey(cid)) as Uint8Array
  for await (const ref of chunksInRange(root, { from: 0, to: TOTAL }, { read, codec: defaultNodeCodec })) {
    let next = await chunks.next()
    while (next.done !== true && next.value.chunkIndex === null) next = await chunks.next()
    assert.ok(next.done !== true && next.value.cid.equals(ref.cid))
    opened.update(openChunkOf(ref, next.value.bytes))
    watch()
  }
  const original = createHash('sha256')
  for await (const piece of generated(TOTAL)) original.update(piece)
  assert.equal(opened.digest('hex'), original.digest('hex'))
  t.diagnostic(`grew by ${(peak / MIB).toFixed(0)} MiB at most`)
  assert.ok(peak < GROWTH_MAX, `${peak} bytes more were resident`)
})
