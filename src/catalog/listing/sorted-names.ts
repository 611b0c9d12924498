import { LIST_SORT } from '../constants.ts'

/**
 * Collects texts and keeps the least of them, in order and at most `max`. Equal texts count once. Text is compared by
 * its UTF-16 units, so that a text of bytes (`latin1`) is compared as the bytes are.
 *
 * Texts are sorted in groups, and sorted lists of similar lengths are merged, so that no step takes long however many
 * there are. At most about twice `max` texts are in memory.
 */
export class SortedNames {
  readonly #max: number
  #added: string[] = []
  /** Sorted lists, each at least twice as long as the next. */
  readonly #lists: string[][] = []
  /** The greatest text that may still be among the least. */
  #bound: string | undefined

  constructor(max: number) {
    this.#max = max
  }

  /** True if there were more texts than `max`. It is known once the texts have been taken. */
  get isCut(): boolean {
    return this.#bound !== undefined
  }

  add(text: string): void {
    if (this.#bound !== undefined && text > this.#bound) return
    this.#added.push(text)
    if (this.#added.length === LIST_SORT) this.#sort()
  }

  /** Returns the texts that were collected, in order. Call it once. */
  take(): string[] {
    this.#sort()
    while (this.#lists.length > 1) this.#mergeLast()
    return this.#lists.pop() ?? []
  }

  #sort(): void {
    this.#lists.push(this.#cut([...new Set(this.#added.sort())]))
    this.#added = []
    for (let last = this.#lists.length - 1; last > 0; last--) {
      const [before, list] = this.#lists.slice(-2) as [string[], string[]]
      if (before.length >= 2 * list.length) return
      this.#mergeLast()
    }
  }

  #mergeLast(): void {
    const other = this.#lists.pop() as string[]
    const one = this.#lists.pop() as string[]
    const merged: string[] = []
    for (let i = 0, j = 0; (i < one.length || j < other.length) && merged.length <= this.#max; ) {
      const [a, b] = [one[i], other[j]]
      const isFirst = b === undefined || (a !== undefined && a <= b)
      const next = (isFirst ? a : b) as string
      if (isFirst) i++
      else j++
      if (next !== merged.at(-1)) merged.push(next)
    }
    this.#lists.push(this.#cut(merged))
  }

  /** Cuts a sorted list to the least texts. No text that is greater than all of these is needed any more. */
  #cut(list: string[]): string[] {
    if (list.length <= this.#max) return list
    const cut = list.slice(0, this.#max)
    const last = cut.at(-1) as string
    if (this.#bound === undefined || last < this.#bound) this.#bound = last
    return cut
  }
}
