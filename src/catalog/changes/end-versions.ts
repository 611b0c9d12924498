import type { VersionEnd } from '../author.ts'
import type { Records } from '../change.ts'
import type { ChangeContext } from './context.ts'
import { transact } from './transaction.ts'

/**
 * Deletes deleted entries once more, in one append. This ends their versions, or keeps those that an earlier purge would
 * end. An entry that is there again is left alone, because the delete would delete it.
 */
export async function endVersions(
  context: ChangeContext,
  ids: readonly Uint8Array[],
  ends: VersionEnd
): Promise<Records> {
  const { author } = context
  const { records } = await transact(context, async tx => {
    for (const id of ids) {
      const found = await tx.entry(id)
      if (found?.shown.isDeleted !== true) continue
      await tx.remove(found, { ends, removal: author.removalAfter(found.row.state.heads) })
    }
  })
  return records
}
