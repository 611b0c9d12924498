import type { NodeEvent } from '../api.ts'
import { IndexCorruptError, NoSpaceError } from '../disk/errors.ts'
import { type Files, replaceFile } from '../disk/files.ts'
import { Backoff } from '../util/backoff.ts'
import type { Clock } from '../util/clock.ts'
import { codeOf, StoppedError } from '../util/errors.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import { removeIndex, type Stack } from './stack.ts'

/**
 * The file in the data directory that marks the index as untrusted, so that this is not forgotten if the process
 * crashes before the rebuild.
 */
const DOUBT = 'index.doubt'
/**
 * The first pause after a failed rebuild, and the longest pause. They are long because each rebuild reads all segments.
 */
const REBUILD_RETRY_MS = 5_000
const REBUILD_RETRY_MS_MAX = 10 * 60_000

export interface SupervisorOptions {
  files: Files
  clock: Clock
  logger: ComponentLogger
  onEvent: (event: NodeEvent) => void
  startStack: StartStack
  /** Frees some space on a full disk. Resolves to true if it did. */
  makeRoom: () => Promise<boolean>
}

/**
 * Starts a stack that calls `onDoubt` when its index can no longer be trusted. `listen` holds the addresses of the
 * previous stack.
 */
export type StartStack = (
  onDoubt: (error: IndexCorruptError) => void,
  listen: readonly string[] | undefined
) => Promise<Stack>

/**
 * Keeps one stack running. If the stack's index loses or garbles a row, the supervisor stops that stack, removes the
 * index, and starts another stack, which rebuilds the index from the segments. Verbs that are called meanwhile wait for
 * the new stack. Verbs that are under way fail and may be repeated. If the rebuild fails, because the disk is full or
 * does not answer, verbs fail with that reason, and the supervisor tries again with growing pauses for as long as the
 * node runs.
 */
export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #log: Logger
  readonly #rebuilding: Worker
  #current: Promise<Stack>
  #last: Stack | undefined
  #rebuildError: unknown
  #isInDoubt = false
  #isStopped = false
  /** The addresses on which the last stack listened. The next stack listens there too, so that others find it. */
  #listen: readonly string[] | undefined

  constructor(options: SupervisorOptions) {
    this.#options = options
    const { clock, logger, onEvent } = options
    this.#log = logger.forComponent('dfs:node')
    this.#current = Promise.reject(new StoppedError('this node has not started'))
    this.#current.catch(() => {
      // A caller that uses `current` before the start gets this error.
    })
    this.#rebuilding = new Worker({
      name: 'index rebuild',
      clock,
      log: this.#log,
      firstMs: Number.POSITIVE_INFINITY,
      everyMs: Number.POSITIVE_INFINITY,
      backoff: new Backoff({ minMs: REBUILD_RETRY_MS, maxMs: REBUILD_RETRY_MS_MAX }),
      work: () => this.#rebuild(),
      onError: error => onEvent({ event: 'failed', code: codeOf(error), task: 'rebuild' })
    })
  }

  /** Starts the first stack. If an earlier process left `index.doubt`, the index is removed first. */
  async start(): Promise<void> {
    const { files } = this.#options
    if ((await files.size(DOUBT)) !== undefined) await removeIndex(files)
    this.#current = this.#open(undefined)
    await this.#current
    this.#rebuilding.start()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#rebuilding.stop()
    await this.#current.catch(error => this.#log('the stack had already failed: %s', reasonOf(error)))
    await this.#last?.stop()
  }

  /** The stack that is running or being started. Rejects with the reason if no stack can run. */
  get current(): Promise<Stack> {
    return this.#current
  }

  /** The stack that was started last, even if it has ended since. It knows most of what a status contains. */
  get last(): Stack {
    if (this.#last === undefined) throw new StoppedError('this node has not started')
    return this.#last
  }

  /** Why the last rebuild of the index failed; undefined once a rebuild has succeeded. */
  get rebuildError(): unknown {
    return this.#rebuildError
  }

  get worker(): Worker {
    return this.#rebuilding
  }

  #onDoubt(error: IndexCorruptError): void {
    if (this.#isInDoubt || this.#isStopped || this.#last === undefined) return
    this.#isInDoubt = true
    this.#listen = this.#last.host.addresses()
    this.#log('the index can no longer be trusted: %s', reasonOf(error))
    this.#rebuilding.wake()
  }

  async #rebuild(): Promise<void> {
    if (!this.#isInDoubt) return
    try {
      this.#current = this.#replace(this.last)
      await this.#current
    } catch (error) {
      this.#rebuildError = error
      // This gives the next attempt more room.
      if (error instanceof NoSpaceError) await this.#options.makeRoom()
      throw error
    }
    this.#rebuildError = undefined
  }

  async #replace(before: Stack): Promise<Stack> {
    const { files } = this.#options
    try {
      // This file is written first. Otherwise, if the process crashed after a clean stop of the stack, nothing would
      // show that the index is untrusted.
      await replaceFile(files, DOUBT, new Uint8Array(0))
    } finally {
      await before.stop()
    }
    await removeIndex(files)
    return this.#open(this.#listen)
  }

  /**
   * Starts a stack. If the stack finds that its index cannot be trusted, removes the index and starts another stack.
   */
  async #open(listen: readonly string[] | undefined): Promise<Stack> {
    const { files, startStack } = this.#options
    let stack: Stack | undefined
    let early: IndexCorruptError | undefined
    // A stack works before it is `last`, so its index may be in doubt before that.
    const onDoubt = (error: IndexCorruptError): void => {
      if (stack !== undefined && stack === this.#last) this.#onDoubt(error)
      else early ??= error
    }
    let lostStretches = 0
    try {
      stack = await startStack(onDoubt, listen)
    } catch (error) {
      if (!(error instanceof IndexCorruptError)) throw error
      this.#log('the index cannot be trusted and is rebuilt: %s', reasonOf(error))
      // Only the old index knew about these stretches.
      lostStretches = error.damagedStretches
      await removeIndex(files)
      early = undefined
      stack = await startStack(onDoubt, listen)
    }
    stack.report.damagedStretches += lostStretches
    try {
      await files.remove(DOUBT)
    } catch (error) {
      await stack.stop()
      throw error
    }
    this.#report(stack)
    this.#last = stack
    this.#isInDoubt = false
    if (early !== undefined) this.#onDoubt(early)
    return stack
  }

  #report({ report: { rebuilt, replayedRows, damagedStretches } }: Stack): void {
    const { onEvent } = this.#options
    if (rebuilt && replayedRows > 0) onEvent({ event: 'rebuilt', rows: replayedRows })
    if (damagedStretches > 0) onEvent({ event: 'damaged', rows: damagedStretches })
  }
}
