import { type IndexDb, type IndexOp, indexKey } from './index-db.ts'
import { type Cursor, decodeCursor, encodeCursor, isBefore } from './place.ts'
import type { SegmentKind } from './segment-layout.ts'
import type { Segments } from './segments.ts'
import { TABLES } from './tables.ts'

/**
 * Tracks the position in the segments of one kind before which every row is in the index. After a crash, replay begins there. The cursor does not
 * pass the start of the oldest write under way. A failed write holds it back as long as its rows could not be undone,
 * because some of them may be durable but not in the index.
 */
export class IndexCursor {
  readonly #segments: Pick<Segments, 'end' | 'kind'>
  /** The positions at which the rows of each write under way may begin, oldest first. */
  readonly #underWay = new Set<Cursor>()
  /** The position at which the rows of the oldest failed write that is not undone yet may begin. */
  #held: Cursor | undefined

  constructor(segments: Pick<Segments, 'end' | 'kind'>) {
    this.#segments = segments
  }

  /** Every row before this position is in the index. */
  get position(): Cursor {
    const [oldest] = this.#underWay
    return earlier(oldest ?? this.#segments.end, this.#held)
  }

  /** True while rows of a failed write could not be undone. */
  get isHeld(): boolean {
    return this.#held !== undefined
  }

  /** Call this when a write begins. Its rows will be at `from` or after it. */
  begin(from: Cursor): void {
    this.#underWay.add(from)
  }

  /** Call this when the rows of a write are in the index, or undone. */
  end(from: Cursor): void {
    this.#underWay.delete(from)
  }

  /** Call this when a write has failed and its rows could not be undone. */
  hold(from: Cursor): void {
    this.#underWay.delete(from)
    this.#held = earlier(from, this.#held)
  }

  /** Call this when the rows of all failed writes are undone. */
  release(): void {
    this.#held = undefined
  }

  /** Returns the change that saves the position in the index. */
  saveOp(): IndexOp {
    return { type: 'put', key: cursorKey(this.#segments.kind), value: encodeCursor(this.position) }
  }
}

/** The position at which the segments of a kind begin. */
export function firstCursor({ base }: SegmentKind): Cursor {
  return { segment: base + 1, offset: 0 }
}

/** Reads the position that the last process with this index saved, or returns the first if it saved none. */
export async function readCursor(index: IndexDb, kind: SegmentKind): Promise<Cursor> {
  const saved = await index.get(cursorKey(kind))
  return saved === undefined ? firstCursor(kind) : decodeCursor(saved)
}

function cursorKey({ cursor }: SegmentKind): Uint8Array {
  return indexKey(TABLES.meta, Buffer.from(cursor))
}

function earlier(a: Cursor, b: Cursor | undefined): Cursor {
  return b !== undefined && isBefore(b, a) ? b : a
}
