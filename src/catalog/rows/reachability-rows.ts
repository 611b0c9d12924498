import type { IndexDb, IndexOp } from '../../disk/index-db.ts'
import { equalBytes, u64be } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import type { Reachability } from '../reachability.ts'
import type { EntryRow } from './entry-row.ts'
import { cycleKey, waitingKey } from './keys.ts'

export interface ReachabilityContext {
  index: Pick<IndexDb, 'has'>
  clock: Clock
  /** The reachability in the tree as the rows of the batch will change it. */
  reachability: Reachability
}

/**
 * Returns the changes to the rows that note why entries cannot be reached once an entry's row has changed. Either their
 * parent is not, or is no longer, a directory, or a directory is below itself.
 */
export async function reachabilityOps(
  context: ReachabilityContext,
  entry: Uint8Array,
  row: EntryRow,
  old: EntryRow | undefined
): Promise<IndexOp[]> {
  const { reachability } = context
  const ops: IndexOp[] = []
  const [is, was] = [row.kind === 'directory', old?.kind === 'directory']
  if (is && !was) ops.push({ type: 'del', key: waitingKey(entry) })
  if (was && !is && (await reachability.hasChildren(entry))) ops.push(...(await waitingOps(context, entry)))
  if (row.key !== undefined && !(await reachability.isDirectory(row.parent)))
    ops.push(...(await waitingOps(context, row.parent)))
  if (is !== was || old === undefined || !equalBytes(old.parent, row.parent)) {
    const cycle = await reachability.cycleOf(entry)
    for (const directory of cycle) ops.push({ type: 'put', key: cycleKey(directory), value: new Uint8Array(0) })
    if (cycle.length === 0 && old !== undefined) ops.push({ type: 'del', key: cycleKey(entry) })
  }
  return ops
}

/** Notes that, from now on, some entry is below a parent that is not a directory, unless that is already noted. */
async function waitingOps({ index, clock }: ReachabilityContext, parent: Uint8Array): Promise<IndexOp[]> {
  const key = waitingKey(parent)
  return (await index.has(key)) ? [] : [{ type: 'put', key, value: u64be(Math.floor(clock.now())) }]
}
