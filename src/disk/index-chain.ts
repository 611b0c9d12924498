import { u32be, utf8 } from '../util/bytes.ts'
import { CHAIN_LINKS_MAX } from './constants.ts'
import { IndexCorruptError } from './errors.ts'
import { type IndexOp, indexKey } from './index-rows.ts'
import { TABLES } from './tables.ts'

/** The links are the rows whose keys start with this. */
export const LINKS: Uint8Array = indexKey(TABLES.meta, utf8('link'))

/**
 * The chain to which each batch of the index adds a link, so that `open` notices if a batch is missing although later
 * ones exist. SPEC.md, "The chain", says why LevelDB alone does not promise that.
 */
export class IndexChain {
  #chain = 0
  /** The number of the next link in this chain. */
  #link = 0

  /** True once another chain must begin. */
  get isFull(): boolean {
    return this.#link === CHAIN_LINKS_MAX
  }

  /** Returns the change that adds the next link. */
  nextOp(): IndexOp {
    return this.#op(this.#link)
  }

  /** Call this when the batch with the next link has been written. */
  added(): void {
    this.#link++
  }

  /** Returns the change that writes the last link again. */
  lastOp(): IndexOp {
    return this.#op(this.#link - 1)
  }

  /** Begins another chain. Everything before it must be durable. */
  begin(): void {
    this.#chain++
    this.#link = 0
  }

  /**
   * Checks the links that were found when the database was opened. Then it begins another chain, because by then
   * LevelDB has written everything that it found to tables. Throws an `IndexCorruptError` if a batch is missing
   * although later ones exist, or if a batch is missing that this object has counted as written.
   */
  async check(links: AsyncIterable<{ key: Uint8Array; value: Uint8Array }>): Promise<void> {
    const chainOf: number[] = []
    for await (const { key, value } of links)
      chainOf[Buffer.from(key).readUInt32BE(LINKS.byteLength)] = Buffer.from(value).readUInt32BE()
    const last = chainOf.reduce((a, b) => Math.max(a, b), -1)
    // Links of older chains have higher numbers than those of the last one.
    const count = chainOf.lastIndexOf(last) + 1
    for (let link = 0; link < count; link++) if (chainOf[link] !== last) throw new IndexCorruptError(MISSING)
    const isOlder = last < this.#chain - 1 || (this.#link > 0 && (last !== this.#chain || count < this.#link))
    if (isOlder) throw new IndexCorruptError(MISSING)
    this.#chain = last + 1
    this.#link = 0
  }

  #op(link: number): IndexOp {
    return { type: 'put', key: keyOf(link), value: u32be(this.#chain) }
  }
}

const MISSING = 'the index lacks a batch of changes'

function keyOf(link: number): Uint8Array {
  return indexKey(TABLES.meta, utf8('link'), u32be(link))
}
