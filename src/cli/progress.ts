import { formatBytes, formatDuration } from './units.ts'

const REDRAW_MS = 200

/** The line that is on the terminal now, if any. */
let shown: Progress | undefined

/** Takes the line away before something else is written; it comes back with the next bytes. */
export function hideProgress(): void {
  shown?.hide()
}

/** A line on the terminal that says how far a transfer is, how fast, and how long it will take. Nothing in a pipe. */
export class Progress {
  readonly #verb: string
  readonly #isWanted: boolean
  readonly #started = performance.now()
  #total: number | undefined
  #done = 0
  #drawnAt = 0

  /** `total` bytes are to come, if that is known. */
  constructor(verb: string, isQuiet: boolean, total?: number) {
    this.#verb = verb
    this.#isWanted = !isQuiet && process.stderr.isTTY === true
    this.#total = total
  }

  /** More is to come than was known: files of a folder are found one by one. */
  expect(bytes: number): void {
    this.#total = (this.#total ?? 0) + bytes
  }

  add(bytes: number): void {
    this.#done += bytes
    if (!this.#isWanted) return
    const now = performance.now()
    if (now - this.#drawnAt < REDRAW_MS) return
    this.#drawnAt = now
    shown = this
    process.stderr.write(`\r\x1b[K${progressText(this.#verb, this.#done, this.#total, now - this.#started)}`)
  }

  /** Passes bytes through, counting them. */
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

/** What the line says after so many bytes of so many, in so long. */
export function progressText(verb: string, done: number, total: number | undefined, ms: number): string {
  const perSecond = done / Math.max(0.001, ms / 1000)
  const rate = `${formatBytes(Math.round(perSecond))}/s`
  if (total === undefined) return `${verb} ${formatBytes(done)}  ${rate}`
  const left = Math.max(0, total - done) / Math.max(1, perSecond)
  return `${verb} ${formatBytes(done)} of ${formatBytes(total)}  ${rate}  ${formatDuration(left)} left`
}
