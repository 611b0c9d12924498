import type { Chance } from '../../util/chance.ts'
import type { Clock } from '../../util/clock.ts'
import type { Logger } from '../../util/logger.ts'
import type { Author } from '../author.ts'
import type { Bodies } from '../bodies.ts'
import type { Records } from '../change.ts'
import type { Tree } from '../tree.ts'
import type { TreeLocks } from './locks.ts'

/** The components, ports and locks that all changes to the tree share. */
export interface ChangeContext {
  tree: Tree
  bodies: Bodies
  author: Author
  clock: Clock
  chance: Chance
  locks: TreeLocks
  log: Logger
  /** Makes records durable in one batch, and returns them. */
  append: (records: Records) => Promise<Records>
}
