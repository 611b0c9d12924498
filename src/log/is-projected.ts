import type { AcceptedStatement, Projection } from './projection.ts'
import { isOfStatement } from './statement-fault.ts'

/** Returns true if the index holds what the projection of a statement wrote there. */
export async function isProjected(projection: Projection | undefined, item: AcceptedStatement): Promise<boolean> {
  if (projection?.isIndexed === undefined) return true
  try {
    return await projection.isIndexed(item)
  } catch (error) {
    // A statement that cannot be projected is not in the projection's tables.
    if (isOfStatement(error)) return false
    throw error
  }
}
