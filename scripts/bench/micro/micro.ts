import type { Series } from '../peers/chart.ts'

/** A measurement of cost against size. */
export interface Micro {
  title: string
  /** What the size is, and what the cost is. */
  x: string
  y: string
  measure(setting: MicroSetting): Promise<Series[]>
}

export interface MicroSetting {
  /** An empty folder. */
  folder: string
  /** The largest number of files in a listing. */
  filesMax: number
  say(line: string): void
}

const SAMPLE_MS = 2
const SAMPLES = 60

/**
 * Returns how many microseconds a piece of work takes: the least of many short samples, because whatever else runs on
 * the machine can only make a sample longer.
 */
export async function leastMicros(work: () => unknown): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  let times = 1
  for (let sample = 0; sample < SAMPLES; ) {
    const from = performance.now()
    for (let i = 0; i < times; i++) {
      const done = work()
      if (done instanceof Promise) await done
    }
    const ms = performance.now() - from
    if (ms < SAMPLE_MS && times < 1e6) {
      times *= 2
      continue
    }
    least = Math.min(least, (ms * 1000) / times)
    sample++
  }
  return least
}
