import type { PutResult } from '../index.ts'
import { formatBytes, formatCount, formatDuration } from '../terminal/units.ts'
import type { Skipped } from './local-tree.ts'

/** Why a file was left out, in the words of the last line: for one, and for several. */
const WORDS: Record<Skipped, readonly [one: string, many: string]> = {
  symlink: ['symlink', 'symlinks'],
  pipe: ['pipe', 'pipes'],
  socket: ['socket', 'sockets'],
  device: ['device', 'devices'],
  excluded: ['excluded', 'excluded'],
  unfinished: ['unfinished get', 'unfinished gets'],
  'data-directory': ['data directory of dfs-node', 'data directories of dfs-node']
}

/** What has become of the files of a put. */
export class PutTally {
  readonly #startedAtMs = performance.now()
  readonly #isDryRun: boolean
  readonly #skipped = new Map<Skipped, number>()
  stored = 0
  /** Files that the network has already with this content. */
  unchanged = 0
  /** The bytes of the files that were stored. */
  bytes = 0
  failed = 0
  /** Files that were stored and are not on as many machines yet as they should be. */
  #short = 0

  constructor(isDryRun: boolean) {
    this.#isDryRun = isDryRun
  }

  /** Notes what the node says about a file. */
  note({ size, unchanged, confirmed, wanted }: Pick<PutResult, 'size' | 'unchanged' | 'confirmed' | 'wanted'>): void {
    if (confirmed < wanted) this.#short++
    if (unchanged) this.unchanged++
    else {
      this.stored++
      this.bytes += size
    }
  }

  skip(why: Skipped): void {
    this.#skipped.set(why, (this.#skipped.get(why) ?? 0) + 1)
  }

  /** The fields of the last line for a script. */
  get fields(): { stored: number; unchanged: number; skipped: Record<string, number>; failed: number; bytes: number } {
    const { stored, unchanged, failed, bytes } = this
    return { stored, unchanged, skipped: Object.fromEntries(this.#skipped), failed, bytes }
  }

  /** The last line for a person, such as `491 stored, 6 skipped (4 symlinks, 2 pipes), 152.0 MiB in 11 s`. */
  get text(): string {
    const parts = [`${count(this.stored)} ${this.#isDryRun ? 'would be stored' : 'stored'}`]
    if (this.unchanged > 0) parts.push(`${count(this.unchanged)} unchanged`)
    const skipped = [...this.#skipped]
    if (skipped.length > 0) {
      const total = skipped.reduce((sum, [, number]) => sum + number, 0)
      parts.push(
        `${count(total)} skipped (${skipped.map(([why, number]) => formatCount(number, ...WORDS[why])).join(', ')})`
      )
    }
    if (this.failed > 0) parts.push(`${count(this.failed)} failed`)
    const seconds = (performance.now() - this.#startedAtMs) / 1000
    parts.push(this.#isDryRun ? formatBytes(this.bytes) : `${formatBytes(this.bytes)} in ${formatDuration(seconds)}`)
    const short =
      this.#short === 0
        ? ''
        : `; ${formatCount(this.#short, 'file still waits', 'files still wait')} for more copies: see dfs status`
    return parts.join(', ') + short
  }
}

function count(number: number): string {
  return number.toLocaleString('en-US')
}
