import { formatBytes, formatDuration } from './units.ts'

const REDRAW_MS = 200

/** The progress line that is currently on the terminal, if any. */
let shown: Progress | undefined

/** Removes the progress line before something else is written. It comes back with the next bytes. */
export function hideProgress(): void {
  shown?.hide()
}

/**
 * A line on the terminal that shows the progress of a transfer, its rate and the time left. It prints nothing if the
 * output is a pipe.
 */
export class Progress {
  readonly #verb: string
  readonly #isWanted: boolean
  /** Monotonic. */
  readonly #startedAtMs = performance.now()
  #total: number | undefined
  #done = 0
  /** Monotonic. */
  #drawnAtMs = 0

  /** `total` is the number of bytes to transfer, if that is known. */
  constructor(verb: string, isQuiet: boolean, total?: number) {
    this.#verb = verb
    this.#isWanted = !isQuiet && process.stderr.isTTY === true
    this.#total = total
  }

  /** Adds to the total. The files of a folder are found one by one, so the total is not known at the start. */
  expect(bytes: number): void {
    this.#total = (this.#total ?? 0) + bytes
  }

  add(bytes: number): void {
    this.#done += bytes
    if (!this.#isWanted) return
    const now = performance.now()
    if (now - this.#drawnAtMs < REDRAW_MS) return
    this.#drawnAtMs = now
    shown = this
    process.stderr.write(`\r\x1b[K${progressText(this.#verb, this.#done, this.#total, now - this.#startedAtMs)}`)
  }

  /** Yields the bytes of `source` and counts them. */
  async *count<T extends Uint8Array>(source: AsyncIterable<T>): AsyncGenerator<T> {
    for await (const bytes of source) {
      this.add(bytes.byteLength)
      yield bytes
    }
  }

  hide(): void {
    if (shown !== this) return
    shown = undefined
    process.stderr.write('\r\x1b[K')
  }
}

/** Returns the text of the line once `done` of `total` bytes have passed in `ms`. */
export function progressText(verb: string, done: number, total: number | undefined, ms: number): string {
  const perSecond = done / Math.max(0.001, ms / 1000)
  const rate = `${formatBytes(Math.round(perSecond))}/s`
  if (total === undefined) return `${verb} ${formatBytes(done)}  ${rate}`
  const left = Math.max(0, total - done) / Math.max(1, perSecond)
  return `${verb} ${formatBytes(done)} of ${formatBytes(total)}  ${rate}  ${formatDuration(left)} left`
}
