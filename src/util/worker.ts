import type { Clock } from './clock.ts'
import { codeOf, type ErrorCode, isAbort, StoppedError } from './errors.ts'
import { type Logger, reasonOf } from './logger.ts'

// This error is created once and reused. An abort without a reason creates an error with a stack trace each time, and
// there may be many short-lived workers.
const STOPPED = new StoppedError('this worker has been stopped')

/** The state of a worker, as `status` lists it. */
export interface WorkerStatus {
  name: string
  state: 'working' | 'waiting' | 'stopped'
  /**
   * The code of the error with which the last round failed. Null if that round succeeded, or if no round has ended yet.
   */
  lastError: ErrorCode | null
  /**
   * Milliseconds until the next round. Null during a round, after the worker was stopped, and if only `wake` starts
   * another round.
   */
  nextInMs: number | null
}

export interface WorkerOptions {
  /** What the worker does, in two or three words. `status` lists it under this name. */
  name: string
  clock: Clock
  log: Logger
  /** One round. It stops early when the signal fires. */
  work: (signal: AbortSignal) => Promise<unknown>
  /**
   * The pause between the end of a round and the start of the next. If it is a function, it is called for each pause.
   * `Infinity` means that only `wake` starts another round.
   */
  everyMs: number | (() => number)
  /** The pause before the first round. By default `everyMs`. */
  firstMs?: number | undefined
  /** The pauses after rounds that fail. By default `everyMs`. A round that succeeds resets them. */
  backoff?: { nextMs(): number; reset(): void } | undefined
  /** Called with the error of a round that failed. It is not called for an abort. */
  onError?: ((error: unknown) => void) | undefined
}

/**
 * The only form of background work: a loop of rounds with a pause between them. Neither a round that fails nor a
 * listener that throws ends the loop or the process. Rounds never overlap.
 */
export class Worker {
  readonly #options: WorkerOptions
  readonly #stopped = new AbortController()
  #running: Promise<void> | undefined
  #isWorking = false
  #isWoken = false
  #lastError: ErrorCode | null = null
  /** When the next round starts, by the monotonic clock. Undefined while there is no pause. */
  #nextAtMs: number | undefined
  #endPause: () => void = () => {}
  #cancelTimer: () => void = () => {}

  constructor(options: WorkerOptions) {
    this.#options = options
  }

  /** Begins the loop. A second call has no effect. A worker that has been stopped does not start again. */
  start(): void {
    this.#running ??= this.#run()
  }

  /** Starts a round now. If a round is under way, another one follows it immediately. Has no effect after `stop`. */
  wake(): void {
    this.#isWoken = true
    this.#endPause()
  }

  /**
   * Says that there is work again. If the worker waits for nothing but `wake`, it calls `everyMs` again for a new
   * pause. Any other worker is not affected.
   */
  schedule(): void {
    if (this.#nextAtMs === Number.POSITIVE_INFINITY) this.#setTimer(this.#everyMs)
  }

  /** Aborts the current round and resolves once it has ended. No other round follows. */
  async stop(): Promise<void> {
    this.#stopped.abort(STOPPED)
    this.#endPause()
    await this.#running
  }

  get status(): WorkerStatus {
    const { name, clock } = this.#options
    const isStopped = this.#stopped.signal.aborted || this.#running === undefined
    const isDue = this.#nextAtMs !== undefined && Number.isFinite(this.#nextAtMs)
    const nextInMs =
      isStopped || !isDue ? null : Math.max(0, Math.round((this.#nextAtMs as number) - clock.monotonic()))
    return {
      name,
      state: isStopped ? 'stopped' : this.#isWorking ? 'working' : 'waiting',
      lastError: this.#lastError,
      nextInMs
    }
  }

  get #everyMs(): number {
    const { everyMs } = this.#options
    return typeof everyMs === 'number' ? everyMs : everyMs()
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    let pauseMs = this.#options.firstMs
    while (!signal.aborted) {
      // `everyMs` is called only now. Otherwise a call of `schedule` since the end of the round would be missed.
      if (!this.#isWoken) await this.#pause(pauseMs ?? this.#everyMs)
      if (signal.aborted) return
      this.#isWoken = false
      this.#isWorking = true
      pauseMs = await this.#round(signal)
      this.#isWorking = false
    }
  }

  /** Runs one round. Returns the pause after it, or undefined for the usual pause. */
  async #round(signal: AbortSignal): Promise<number | undefined> {
    const { work, backoff } = this.#options
    try {
      await work(signal)
      this.#lastError = null
      backoff?.reset()
      return undefined
    } catch (error) {
      return this.#failed(error, signal)
    }
  }

  /** Returns the pause after a round that failed. */
  #failed(error: unknown, signal: AbortSignal): number {
    const { name, backoff, log } = this.#options
    if (signal.aborted) {
      log('%s was stopped: %s', name, reasonOf(error))
      return 0
    }
    this.#lastError = codeOf(error)
    const pauseMs = backoff?.nextMs() ?? this.#everyMs
    log('%s failed, trying again in %d ms: %s', name, Math.round(pauseMs), reasonOf(error))
    if (!isAbort(error)) this.#report(error)
    return pauseMs
  }

  // The listener belongs to the program that embeds the node. If the listener throws, the loop must go on.
  #report(error: unknown): void {
    const { name, log, onError } = this.#options
    try {
      onError?.(error)
    } catch (cause) {
      log('the listener of %s threw an error: %s', name, reasonOf(cause))
    }
  }

  async #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#endPause = resolve
    this.#setTimer(ms)
    await promise
    this.#cancelTimer()
    this.#endPause = () => {}
    this.#nextAtMs = undefined
  }

  #setTimer(ms: number): void {
    const { clock } = this.#options
    this.#cancelTimer()
    this.#nextAtMs = clock.monotonic() + ms
    this.#cancelTimer = Number.isFinite(ms) ? clock.after(ms, () => this.#endPause()) : () => {}
  }
}
