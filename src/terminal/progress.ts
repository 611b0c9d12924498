import { escapeForTerminal } from './escape.ts'
import { formatBytes, formatCount, formatDuration } from './units.ts'

const REDRAW_MS = 200
/** The rate is that of the last seconds. An average since the start would hide that a transfer has become slow. */
const RATE_MS = 10_000
/** The width of a terminal that does not say how wide it is, or says 0. */
const COLUMNS = 80

/** The line that is currently on the terminal and will be drawn over, if any. */
let shown: ProgressLine | undefined

/** Removes the progress line before something else is written. It comes back with the next bytes. */
export function hideProgress(): void {
  shown?.hide()
}

/** One line at the end of the terminal that is drawn again and again. It prints nothing if stderr is no terminal. */
export class ProgressLine {
  readonly isShown: boolean

  constructor(isQuiet: boolean) {
    this.isShown = !isQuiet && process.stderr.isTTY === true
  }

  /** Draws the line, over what it showed before. */
  show(text: string): void {
    if (!this.isShown) return
    if (shown !== this) hideProgress()
    shown = this
    // A line that is wider than the terminal would break, and could not be drawn over.
    const width = (process.stderr.columns || COLUMNS) - 1
    process.stderr.write(`\r\x1b[K${escapeForTerminal(text).slice(0, width)}`)
  }

  hide(): void {
    if (shown !== this) return
    shown = undefined
    process.stderr.write('\r\x1b[K')
  }
}

/** How far a transfer has come. */
export interface Amounts {
  bytes: number
  /** Undefined for a transfer of one file. */
  files: number | undefined
}

/**
 * A line on the terminal that shows the progress of a transfer, its rate, and the time left once the total is known. It
 * prints nothing if stderr is no terminal.
 */
export class Progress {
  readonly #line: ProgressLine
  readonly #verb: string
  #total: Amounts | undefined
  #done: Amounts
  /** What was done at some moments of the last seconds. Times are monotonic. */
  readonly #marks: Array<{ atMs: number; bytes: number }> = [{ atMs: performance.now(), bytes: 0 }]
  /** When the line was last drawn; monotonic time. A transfer that ends before the first line is due shows none. */
  #drawnAtMs = performance.now()

  /** `total` is the number of bytes to transfer, if that is known, or `files` if there are many files. */
  constructor(verb: string, isQuiet: boolean, total?: number | 'files') {
    this.#verb = verb
    this.#line = new ProgressLine(isQuiet)
    this.#done = { bytes: 0, files: total === 'files' ? 0 : undefined }
    this.#total = typeof total === 'number' ? { bytes: total, files: undefined } : undefined
  }

  /** Says what all files add up to. Call it once that is known, which may be in the middle of the transfer. */
  setTotal(total: Amounts): void {
    this.#total = total
  }

  /** Counts bytes that were transferred. A negative number takes back those of a file that is sent again. */
  add(bytes: number): void {
    this.#done.bytes += bytes
    this.#draw()
  }

  /** Counts a file that is done. */
  addFile(): void {
    this.#done.files = (this.#done.files ?? 0) + 1
    this.#draw()
  }

  /** Counts a file that is done without being transferred. */
  skipFile(bytes: number): void {
    this.#done.bytes += bytes
    for (const mark of this.#marks) mark.bytes += bytes
    this.addFile()
  }

  /** Yields the bytes of `source` and counts them. */
  async *count<T extends Uint8Array>(source: AsyncIterable<T>): AsyncGenerator<T> {
    for await (const bytes of source) {
      this.add(bytes.byteLength)
      yield bytes
    }
  }

  get isShown(): boolean {
    return this.#line.isShown
  }

  #draw(): void {
    if (!this.isShown) return
    const now = performance.now()
    if (now - this.#drawnAtMs < REDRAW_MS) return
    this.#drawnAtMs = now
    const { bytes } = this.#done
    const [oldest] = this.#marks
    this.#marks.push({ atMs: now, bytes })
    while (this.#marks.length > 2 && now - (this.#marks[1]?.atMs ?? now) > RATE_MS) this.#marks.shift()
    const perSecond = oldest === undefined ? 0 : ((bytes - oldest.bytes) * 1000) / Math.max(1, now - oldest.atMs)
    this.#line.show(progressText(this.#verb, this.#done, this.#total, Math.max(0, perSecond)))
  }
}

/** Returns the text of the line. `total` is undefined while it is not known. */
export function progressText(verb: string, done: Amounts, total: Amounts | undefined, bytesPerSecond: number): string {
  const files =
    done.files === undefined
      ? []
      : [
          total?.files === undefined
            ? formatCount(done.files, 'file')
            : `${done.files} of ${formatCount(total.files, 'file')}`
        ]
  const bytes =
    total === undefined ? formatBytes(done.bytes) : `${formatBytes(done.bytes)} of ${formatBytes(total.bytes)}`
  const rate = `${formatBytes(Math.round(bytesPerSecond))}/s`
  // Without progress there is no time left to show.
  const left =
    total === undefined || bytesPerSecond < 1
      ? []
      : [`${formatDuration(Math.max(0, total.bytes - done.bytes) / bytesPerSecond)} left`]
  return `${verb} ${[...files, bytes, rate, ...left].join('  ')}`
}
