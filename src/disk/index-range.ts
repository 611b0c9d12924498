import type { AbstractIterator } from 'abstract-level'
import type { Database } from './database.ts'
import { pastPrefix } from './index-rows.ts'

/** The most rows that one read of a range returns. */
const ROWS_AT_ONCE = 256

type Iterator = AbstractIterator<Database, Uint8Array, Uint8Array>

export interface RangeOptions {
  /** Only rows after this key, or before it if the order is reversed. */
  after?: Uint8Array | undefined
  /** From the last row to the first. */
  reverse?: boolean | undefined
  /** The most rows to yield. */
  limit?: number | undefined
}

export interface RangeSource {
  db: Database
  /** Runs a read while the database is open, and translates its errors. */
  read: <T>(work: () => Promise<T>) => Promise<T>
  /** Counts how often the database was reopened. A reopening closes all earlier iterators. */
  reopenings: () => number
}

function boundsOf(prefix: Uint8Array, last: Uint8Array | undefined, reverse: boolean): object {
  if (reverse) return { gte: prefix, lt: last ?? pastPrefix(prefix) }
  return { ...(last === undefined ? { gte: prefix } : { gt: last }), lt: pastPrefix(prefix) }
}

/**
 * Yields the rows whose key starts with `prefix`, and reads a bounded number of them at a time. If the database is
 * opened again meanwhile, it goes on after the last key.
 */
export async function* rangeOf(
  { db, read, reopenings }: RangeSource,
  prefix: Uint8Array,
  { after, reverse = false, limit = -1 }: RangeOptions
): AsyncGenerator<Array<[key: Uint8Array, value: Uint8Array]>> {
  let last = after
  let left = limit
  let iterator: Iterator | undefined
  let openedIn = 0
  try {
    while (left !== 0) {
      const rows = await read(async () => {
        if (iterator === undefined || openedIn !== reopenings()) {
          openedIn = reopenings()
          iterator = db.iterator({ ...boundsOf(prefix, last, reverse), reverse, limit: left }) as Iterator
        }
        return iterator.nextv(ROWS_AT_ONCE)
      })
      if (rows.length === 0) return
      yield rows
      last = (rows.at(-1) as [Uint8Array, Uint8Array])[0]
      if (left > 0) left -= rows.length
    }
  } finally {
    await iterator?.close()
  }
}
