import type { IndexDb } from '../../disk/index-db.ts'
import type { Log } from '../../log/log.ts'
import type { Bodies } from '../bodies.ts'
import type { Names } from '../names.ts'
import type { Tree } from '../tree.ts'
import type { Versions } from '../versions/versions.ts'
import { FileVersions } from './file-versions.ts'
import { PastEntries } from './past-entries.ts'
import { PastListing } from './past-listing.ts'
import { PastRows } from './past-rows.ts'
import { PastTree } from './past-tree.ts'
import { RemovedTree } from './removed-tree.ts'

export type { Version, VersionRow } from './file-versions.ts'
export type { ListedDeleted } from './past-listing.ts'
export type { PastDirectory, PastPlace } from './past-tree.ts'
export type { RemovedEntry } from './removed-tree.ts'

export interface PastOptions {
  index: IndexDb
  tree: Tree
  bodies: Bodies
  names: Names
  log: Pick<Log, 'get'>
  kept: Versions
  /** The codecs that manifest nodes may have. */
  nodeCodecs: readonly number[]
}

/** Reads what was: deleted files and directories, and the earlier versions of files. */
export class Past {
  readonly tree: PastTree
  readonly listing: PastListing
  readonly removed: RemovedTree
  readonly entries: PastEntries
  readonly versions: FileVersions

  constructor({ index, tree, bodies, names, log, kept, nodeCodecs }: PastOptions) {
    const rows = new PastRows({ index, names })
    const past = new PastTree({ index, names, tree })
    this.tree = past
    this.listing = new PastListing({ tree, past, rows })
    this.removed = new RemovedTree({ tree, past, rows, kept })
    this.entries = new PastEntries({ tree, past, bodies })
    this.versions = new FileVersions({ index, tree, past, entries: this.entries, bodies, log, kept, nodeCodecs })
  }
}
