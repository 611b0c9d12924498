import type { ComponentLogger, Logger } from '../util/logger.ts'
import type { Capacity } from './capacity.ts'
import type { IndexDb } from './index-db.ts'
import { type DiskState, type MonitoredFiles, stateAfter } from './monitored-files.ts'

export interface DiskMonitorOptions {
  files: Pick<MonitoredFiles, 'state'>
  capacity: Pick<Capacity, 'isFull'>
  index: Pick<IndexDb, 'failure'>
  logger: ComponentLogger
  /** Called once for each change. The initial state is assumed to be `ok`. */
  onChange: (state: DiskState) => void
}

/**
 * Combines three facts into one word that says whether this member can store anything: whether the index accepts
 * changes, how the last write to the disk ended, and whether the capacity has room left. If the disk is full, every
 * write fails, but the owner of the node should be told only once.
 */
export class DiskMonitor {
  readonly #options: DiskMonitorOptions
  readonly #log: Logger
  #reported: DiskState = 'ok'

  constructor(options: DiskMonitorOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:disk:state')
  }

  /** The error with which the index refuses all changes at the moment; undefined if it accepts them. */
  get indexFailure(): unknown {
    return this.#options.index.failure
  }

  get state(): DiskState {
    const { files, capacity } = this.#options
    if (this.indexFailure !== undefined) return stateAfter(this.indexFailure) ?? 'failing'
    return files.state === 'ok' && capacity.isFull ? 'full' : files.state
  }

  /** Reports the state if it has changed since the last call. */
  update(): void {
    const { state } = this
    if (state === this.#reported) return
    this.#log('the disk was %s and is %s', this.#reported, state)
    this.#reported = state
    this.#options.onChange(state)
  }
}
