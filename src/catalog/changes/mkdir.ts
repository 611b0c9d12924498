import type { Path } from '../../format/path.ts'
import type { Change } from '../change.ts'
import type { ChangeContext } from './context.ts'
import { assertPathFits } from './path-room.ts'
import { transact } from './transaction.ts'

/** Makes a directory and any missing directories above it, in one append. */
export async function mkdir(context: ChangeContext, path: Path, replicas: number): Promise<Change> {
  assertPathFits(path)
  const { records } = await transact(context, tx => tx.parent(path, replicas))
  return { path, statements: records }
}
