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

export interface ConfirmedCopiesOptions {
  clock: Clock
  logger: ComponentLogger
  codec: NodeCodec
  local: Pick<LocalBlocks, 'has'>
  storeClient: Pick<StoreClient, 'holdRoot'>
  /** Returns the members that may be asked now. */
  admitted: () => PeerId[]
  viewId: () => Uint8Array
  readNode: ReadNode
}

/**
 * Counts, for each chunk of a file, the members that currently say that they hold it, including this one. Returns the
 * lowest of these counts. A member that does not answer confirms nothing.
 */
export async function confirmedCopies(root: BlockCid, options: ConfirmedCopiesOptions): Promise<number> {
  const { clock, logger, storeClient, admitted, viewId } = options
  const log = logger.forComponent('dfs:blocks:confirm')
  const copies = await ownCopies(root, options)
  const chunks = Bitmap.full(copies.length)
  const timeoutMs = CONFIRM_TIMEOUT_MS * Math.ceil(copies.length / PAGE_CHUNKS)
  const question = { view: viewId(), root, chunks, fetch: false, nonce: undefined, records: [] }
  await Promise.all(
    admitted().map(async peer => {
      try {
        const { lacking } = await withDeadline(clock, timeoutMs, undefined, () => storeClient.holdRoot(peer, question))
        for (const chunkIndex of copies.keys())
          if (!lacking.has(chunkIndex)) copies[chunkIndex] = (copies[chunkIndex] as number) + 1
      } catch (error) {
        log('%s did not say which chunks of root %s it holds: %s', peer, nameOf(root), reasonOf(error))
      }
    })
  )
  return copies.reduce((least, count) => Math.min(least, count), Number.POSITIVE_INFINITY)
}

/** Returns, for each chunk of a file, 1 if it is on this disk, or else 0. */
async function ownCopies(root: BlockCid, { codec, local, readNode }: ConfirmedCopiesOptions): Promise<number[]> {
  const copies: number[] = []
  for await (const batch of walkBatches({ root, readNode, codec, select: isChunk }))
    for (const isHere of await Promise.all(batch.map(({ cid }) => local.has(cid)))) copies.push(isHere ? 1 : 0)
  return copies
}
