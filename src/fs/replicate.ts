import type { KeptFile, PutOutcome } from '../blocks/blocks.ts'
import { NotEnoughCopiesError } from '../blocks/errors.ts'
import type { RecordChange } from '../catalog/change.ts'
import type { Statement } from '../format/statement.ts'
import { reasonOf } from '../util/logger.ts'
import type { FsContext } from './context.ts'
import { beginPushToMembers } from './push-to-members.ts'

export interface ReplicateOptions {
  /** What the put returned for the file's blocks; null for a record without blocks. */
  kept: KeptFile | null
  /** The number of copies wanted; `Infinity` for every member. */
  replicas: number
  ack: number | undefined
  /** The most bytes of text that a chunk holds. */
  chunkBytes: number
  signal: AbortSignal | undefined
}

export type ReplicateContext = Pick<FsContext, 'blocks' | 'members' | 'sync' | 'clock' | 'logger' | 'lastSeen'>

/**
 * The last step of a put: pushes its records until enough members have acknowledged the file. The records are durable
 * here even if this fails. The copies that members still owe are left to the hinted handoff, which survives a restart.
 * Throws a `NotEnoughCopiesError` if an explicit `ack` was not reached, or if some block is on no member at all.
 */
export async function replicate(
  fs: ReplicateContext,
  { record, statements }: RecordChange,
  options: ReplicateOptions
): Promise<PutOutcome> {
  const directories = statements.filter(statement => statement !== record)
  const directoriesArrive = beginPushToMembers(fs, directories)
  const outcome = await untilAcknowledged(fs, record, options)
  // Where the file is, its path must lead to it. Other members are not waited for: one of them may be frozen.
  await directoriesArrive(outcome.reached)
  return outcome
}

async function untilAcknowledged(
  fs: ReplicateContext,
  record: Statement<'entry'>,
  options: ReplicateOptions
): Promise<PutOutcome> {
  const { kept, replicas, ack, signal } = options
  // Until the push returns an outcome, assume that members still owe copies.
  let debt: Debt = { owedBlocks: 1, owedBy: [] }
  try {
    const outcome = await fs.blocks.pushRecord(record, kept, { replicas, ack, signal })
    debt = outcome
    return outcome
  } catch (error) {
    if (error instanceof NotEnoughCopiesError) debt = { owedBlocks: error.owedBlocks, owedBy: [] }
    throw error
  } finally {
    await handOff(fs, record, debt, options)
  }
}

type Debt = Pick<PutOutcome, 'owedBlocks' | 'owedBy'>

async function handOff(
  fs: ReplicateContext,
  record: Statement<'entry'>,
  { owedBlocks, owedBy }: Debt,
  { kept, replicas, chunkBytes }: ReplicateOptions
): Promise<void> {
  if (owedBlocks === 0) return
  const ref = { id: record.id, root: kept?.root ?? null, replicas, author: fs.members.self.peerId }
  try {
    await fs.blocks.handOff(ref, { owed: owedBlocks, eachBytes: chunkBytes, by: owedBy })
  } catch (error) {
    // The file exists, so this must not look as if the put had failed. The members that owe the copies have the record,
    // and make them without being asked. Only this node's count of what they owe is missing.
    fs.logger.forComponent('dfs:fs:put')('the copies that are owed could not be noted: %s', reasonOf(error))
  }
}
