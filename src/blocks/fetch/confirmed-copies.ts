import type { BlockCid } from '../../format/cid.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { withDeadline } from '../../util/deadline.ts'
import { type ComponentLogger, reasonOf } from '../../util/logger.ts'
import { Bitmap } from '../bitmap.ts'
import { CONFIRM_TIMEOUT_MS, PAGE_CHUNKS } from '../constants.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { nameOf } from '../log-names.ts'
import { isChunk, type ReadNode, walkBatches } from '../manifest-walk.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import type { Ranking } from '../rank.ts'

export interface ConfirmedCopiesOptions {
  self: PeerId
  clock: Clock
  logger: ComponentLogger
  codec: NodeCodec
  local: Pick<LocalBlocks, 'has'>
  storeClient: Pick<StoreClient, 'holdRoot'>
  ranking: () => Ranking
  /** Returns the members that may be asked now. */
  admitted: () => readonly PeerId[]
  viewId: () => Uint8Array
  readNode: ReadNode
}

/** The copies of a file that members say now that they hold. */
export interface ConfirmedCopies {
  /** The lowest number of members that hold any of its chunks, including this one. */
  confirmed: number
  /** The members that owe a chunk with fewer copies than are wanted, and do not say that they hold it. */
  missingOn: PeerId[]
}

/** Asks every member that can be reached which chunks of a file it holds. One that does not answer confirms nothing. */
export async function confirmedCopies(
  root: BlockCid,
  replicas: number,
  options: ConfirmedCopiesOptions
): Promise<ConfirmedCopies> {
  const { self, clock, logger, storeClient, admitted, viewId } = options
  const log = logger.forComponent('dfs:blocks:confirm')
  const chunks = await chunksOf(root, options)
  const timeoutMs = CONFIRM_TIMEOUT_MS * Math.ceil(chunks.length / PAGE_CHUNKS)
  const question = {
    view: viewId(),
    root,
    chunks: Bitmap.full(chunks.length),
    fetch: false,
    nonce: undefined,
    records: []
  }
  const holdings = new Map<PeerId, (chunkIndex: number) => boolean>()
  holdings.set(self, chunkIndex => chunks[chunkIndex]?.isHere === true)
  await Promise.all(
    admitted().map(async peer => {
      try {
        const { lacking } = await withDeadline(clock, timeoutMs, undefined, () => storeClient.holdRoot(peer, question))
        holdings.set(peer, chunkIndex => !lacking.has(chunkIndex))
      } catch (error) {
        log('%s did not say which chunks of root %s it holds: %s', peer, nameOf(root), reasonOf(error))
      }
    })
  )
  const ranking = options.ranking()
  const wanted = Math.min(replicas, ranking.keeperCount)
  const missingOn = new Set<PeerId>()
  let confirmed = Number.POSITIVE_INFINITY
  for (const [chunkIndex, { digest }] of chunks.entries()) {
    let copies = 0
    for (const holds of holdings.values()) if (holds(chunkIndex)) copies++
    confirmed = Math.min(confirmed, copies)
    if (copies >= wanted) continue
    for (const { peer } of ranking.owners(digest, replicas))
      if (holdings.get(peer)?.(chunkIndex) !== true) missingOn.add(peer)
  }
  return { confirmed, missingOn: [...missingOn] }
}

interface Chunk {
  digest: Uint8Array
  isHere: boolean
}

async function chunksOf(root: BlockCid, { codec, local, readNode }: ConfirmedCopiesOptions): Promise<Chunk[]> {
  const chunks: Chunk[] = []
  for await (const batch of walkBatches({ root, readNode, codec, select: isChunk }))
    for (const chunk of await Promise.all(
      batch.map(async ({ cid }) => ({ digest: cid.multihash.digest, isHere: await local.has(cid) }))
    ))
      chunks.push(chunk)
  return chunks
}
