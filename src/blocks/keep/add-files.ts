import { type BlockCid, isNode } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { AnyStatement } from '../../format/statement.ts'
import type { Verdict } from '../../log/projection.ts'
import { equalBytes } from '../../util/bytes.ts'
import { isFulfilled } from '../../util/is-fulfilled.ts'
import type { Logger } from '../../util/logger.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import type { KeepBlocks, KeepState } from '../protocol/store-messages.ts'

/**
 * Receives records from a peer as if it had pushed them, and returns the verdict on each. `finalCheck` is the last check
 * of a record that would otherwise be accepted.
 */
export type ReceiveRecords = (
  records: readonly Uint8Array[],
  from: PeerId,
  finalCheck: (record: AnyStatement, i: number) => Promise<Verdict>
) => Promise<Verdict[]>

type Block = KeepBlocks['blocks'][number]

interface AddFilesOptions {
  local: Pick<LocalBlocks, 'fresh' | 'keepFresh'>
  receive: ReceiveRecords
  log: Logger
  /** Keeps a block for the put. */
  keep: (block: Block) => Promise<KeepState>
}

/** A small file that came with its record. */
interface AddedFile {
  cid: BlockCid
  inline: Uint8Array
  record: Uint8Array
}

/**
 * Keeps blocks of which some came with the record of the file whose only block they are. Such a block and its record are
 * made durable together, and the answer is `added`: the record claims the block, so the put need not, even for a moment.
 * If the record is refused, or there is none, the put claims the block.
 */
export async function addFiles(
  blocks: readonly Block[],
  peer: PeerId,
  { local, receive, log, keep }: AddFilesOptions
): Promise<KeepState[]> {
  const files = blocks.flatMap(({ cid, inline, record = null }) =>
    inline === null || record === null || isNode(cid) ? [] : [{ cid, inline, record }]
  )
  if (files.length === 0) return Promise.all(blocks.map(keep))
  const endProtection = local.fresh.protect(files.map(({ cid }) => cid))
  try {
    const stored = isFulfilled(local.keepFresh(files.map(({ cid, inline }) => ({ cid, bytes: inline }))))
    const records = files.map(({ record }) => record)
    // A record is written only once its block is durable.
    const verdicts = await receive(records, peer, async (statement, i) => {
      const { cid } = files[i] as AddedFile
      return isRootOf(statement, cid) && (await stored) ? 'ok' : 'lacking'
    })
    await stored
    const added = new Set<unknown>(records.filter((_, i) => verdicts[i] === 'ok'))
    log('small files from %s: %d, added together with their records: %d', peer, files.length, added.size)
    return await Promise.all(blocks.map(block => (added.has(block.record) ? 'added' : keep(block))))
  } finally {
    endProtection()
  }
}

/** Returns true if the content of a record is this one block. */
function isRootOf({ kind, fields }: AnyStatement, cid: BlockCid): boolean {
  return kind === 'entry' && fields.root !== null && equalBytes(fields.root, cid.bytes)
}
