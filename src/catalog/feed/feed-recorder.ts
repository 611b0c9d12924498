import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { growingCache } from '../../util/lru.ts'
import type { Bodies } from '../bodies.ts'
import { FEED_PATHS_MAX } from '../constants.ts'
import type { Names } from '../names.ts'
import { directorySteps } from './directory-steps.ts'
import { appendRow, hasBegun } from './feed-rows.ts'
import { fileSteps } from './file-steps.ts'
import { type BatchResult, Look, type Looked } from './look.ts'
import { NameView } from './name-view.ts'
import type { Place } from './paths.ts'
import { renamedConflicts } from './renamed-conflicts.ts'
import type { Step } from './steps.ts'

export interface FeedRecorderOptions {
  index: IndexDb
  names: Names
  bodies: Bodies
  /** The most bytes of all rows. */
  bytesMax?: number | undefined
}

/**
 * Notes how a batch changes what paths show, in the same batch that changes the tree. A program that watches is told
 * from these rows, so nothing is missed over a restart, and nothing waits in memory for a slow reader. Until somebody has
 * watched for the first time, nothing is noted.
 *
 * Only changes of paths are exact here. The content of a file is looked up when the change is told, and may be newer
 * than the change. An entry that has no simple path, for example because its parents are in a cycle, is told as a
 * reset: the watcher has to list again.
 */
export class FeedRecorder {
  readonly #options: FeedRecorderOptions & { view: NameView }
  /** The paths of directories as the index has them, so that a record deep in the tree costs no more than another. */
  readonly #cache = growingCache<string, Exclude<Place, string>>(FEED_PATHS_MAX)

  constructor(options: FeedRecorderOptions) {
    const { index, names, bodies } = options
    // Which of several versions of one write shows depends on the order of the epochs, which is not known during a
    // replay. Here it only decides about the names of versions before the batch.
    this.#options = { ...options, view: new NameView({ index, names, bodies, depthOf: () => 0 }) }
  }

  /** Adds what the batch changes to its sink. Call it last, once all other rows of the batch are known. */
  async record(result: BatchResult, sink: IndexSink): Promise<void> {
    if (!(await hasBegun(this.#options.index))) return
    const look = new Look({ ...this.#options, cache: this.#cache }, result)
    const steps = await this.#steps(result, look)
    if (look.movesDirectories || look.isElsewhere) this.#cache.clear()
    if (steps.length > 0) await appendRow(this.#options, { atMs: look.atMs, steps }, sink)
  }

  async #steps(result: BatchResult, look: Look): Promise<Step[]> {
    const looked: Looked[] = []
    for (const pending of result.rows.all()) for (const change of await look.at(pending)) looked.push(change)
    for await (const _ of result.cycles.changed()) look.isElsewhere = true
    if (look.isElsewhere) return [{ step: 'reset', path: [] }]
    const context = { look, view: this.#options.view }
    const { file: files = [], directory: directories = [] } = Object.groupBy(looked, ({ kind }) => kind)
    const { steps: told, resets } = await directorySteps(directories, context)
    const fileTold = await fileSteps(files, { ...context, directories, told })
    return [...told, ...fileTold, ...resets, ...(await renamedConflicts(looked, context))]
  }
}
