import type { ComponentLogger, Logger } from '../util/logger.ts'
import type { Capacity } from './capacity.ts'
import type { DiskState, MonitoredFiles } from './monitored-files.ts'

export interface DiskMonitorOptions {
  files: Pick<MonitoredFiles, 'state'>
  capacity: Pick<Capacity, 'isFull'>
  logger: ComponentLogger
  /** Called once for each change. The first state is taken to be `ok`. */
  onChange: (state: DiskState) => void
}

/**
 * Says in one word whether this member can store anything: it combines how the last write to the disk ended with whether the
 * capacity has room left. A full disk fails one write after another, and the owner of the node wants to read that once.
 */
export class DiskMonitor {
  readonly #options: DiskMonitorOptions
  readonly #log: Logger
  #reported: DiskState = 'ok'

  constructor(options: DiskMonitorOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:disk:state')
  }

  get state(): DiskState {
    const { files, capacity } = this.#options
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
