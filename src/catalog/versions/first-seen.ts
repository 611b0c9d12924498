import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { type Seen, seenKey } from '../../format/entry.ts'
import { decodeHlc, encodeHlc, HLC_BYTES, type Hlc, type Stamp } from '../../format/stamp.ts'
import { asBuffer, compareBytes, concatBytes, toHex, u64be } from '../../util/bytes.ts'
import { beforeHlc, type FirstDeed, hlcOfSeenBy, seenByKey } from './keys.ts'

/** A record that has seen a stamp. */
export interface SeenBy {
  /** When the record reached this member. */
  arrivedAtMs: number
  hlc: Hlc
  author: Uint8Array
}

/** What a record has seen of one author and incarnation, and the record. */
export interface Sighting extends Seen {
  by: SeenBy
}

type Reader = Pick<IndexDb, 'get' | 'range'>

/** A row of one author and incarnation. Values compare as the moments of arrival do. */
interface Step {
  hlc: Hlc
  value: Uint8Array
}

/**
 * Finds, for each stamp of an entry, the first record to reach this member that has seen the stamp and does some deed.
 *
 * The rows of one author and incarnation are steps: the greater the hlc, the later the first record that has seen it.
 * So the first row at or after a stamp is the answer, and a record that another one beats at each stamp has no row.
 * Which rows there are follows from the records and their moments of arrival, in whatever order the index learned of
 * them.
 */
export class FirstSeen {
  readonly #index: Reader
  readonly #entry: Uint8Array
  readonly #deed: FirstDeed

  constructor(index: Reader, entry: Uint8Array, deed: FirstDeed) {
    this.#index = index
    this.#entry = entry
    this.#deed = deed
  }

  /** Returns the first record that has seen a stamp, or undefined if none has. */
  async of(stamp: Stamp): Promise<SeenBy | undefined> {
    // Most records name the very stamp that they follow, and one row is read much faster than a range.
    const value = (await this.#index.get(this.#key(stamp, stamp.hlc))) ?? (await this.#after(stamp))
    return value === undefined ? undefined : decodeSeenBy(value)
  }

  /**
   * Adds records. `seenBefore` says, by `seenKey`, the greatest hlc that earlier records had seen. With it, nearly all
   * additions cost one read, or none.
   */
  async add(
    sightings: readonly Sighting[],
    sink: IndexSink,
    seenBefore?: ReadonlyMap<string, Hlc | undefined>
  ): Promise<void> {
    for (const [key, same] of Map.groupBy(sightings, ({ author, incarnation }) => seenKey(author, incarnation))) {
      const [of] = same as [Sighting]
      const steps = stepsOf(same.map(({ hlc, by }) => ({ hlc, value: encodeSeenBy(by) })))
      if (seenBefore !== undefined && (await this.#isBuiltOn(of, steps, seenBefore.get(key))))
        for (const { hlc, value } of steps) sink.put(this.#key(of, hlc), value)
      else await this.#merge(of, steps, sink)
    }
  }

  /** Returns true if all of these steps come after those that the index has, in both respects. */
  async #isBuiltOn(of: Sighting, steps: readonly Step[], before: Hlc | undefined): Promise<boolean> {
    if (before === undefined) return true
    const [lowest] = steps as [Step]
    if (lowest.hlc <= before) return false
    const value = await this.#index.get(this.#key(of, before))
    return value !== undefined && compareBytes(value, lowest.value) < 0
  }

  async #merge(of: Sighting, steps: readonly Step[], sink: IndexSink): Promise<void> {
    const [lowest, highest] = [steps[0] as Step, steps.at(-1) as Step]
    if (lowest === highest && (await this.#isBeaten(of, lowest))) return
    const prefix = seenByKey(this.#entry, this.#deed, of)
    const old: Step[] = []
    // Values grow with the hlc, so below the first row that is earlier than all new ones nothing changes.
    for await (const { key, value } of this.#index.range(prefix, { after: this.#key(of, lowest.hlc), reverse: true })) {
      if (compareBytes(value, lowest.value) < 0) break
      old.push({ hlc: hlcOfSeenBy(key), value })
    }
    for await (const { key, value } of this.#index.range(prefix, { after: beforeHlc(prefix, lowest.hlc) })) {
      const hlc = hlcOfSeenBy(key)
      old.push({ hlc, value })
      if (hlc >= highest.hlc) break
    }
    const kept = new Map(stepsOf([...old, ...steps]).map(step => [step.hlc, step.value]))
    for (const { hlc } of old) if (!kept.has(hlc)) sink.del(this.#key(of, hlc))
    const unchanged = new Map(old.map(({ hlc, value }) => [hlc, toHex(value)]))
    for (const [hlc, value] of kept) if (unchanged.get(hlc) !== toHex(value)) sink.put(this.#key(of, hlc), value)
  }

  /** Returns true if the index has a row under this very hlc that is as early. */
  async #isBeaten(of: Sighting, { hlc, value }: Step): Promise<boolean> {
    const known = await this.#index.get(this.#key(of, hlc))
    return known !== undefined && compareBytes(known, value) <= 0
  }

  async #after(stamp: Stamp): Promise<Uint8Array | undefined> {
    const prefix = seenByKey(this.#entry, this.#deed, stamp)
    for await (const { value } of this.#index.range(prefix, { after: beforeHlc(prefix, stamp.hlc), limit: 1 }))
      return value
    return undefined
  }

  #key(of: Pick<Seen, 'author' | 'incarnation'>, hlc: Hlc): Uint8Array {
    return seenByKey(this.#entry, this.#deed, of, encodeHlc(hlc))
  }
}

/** Returns those steps that no other one beats, from the lowest hlc to the highest. */
function stepsOf(all: readonly Step[]): Step[] {
  const descending = [...all].sort((a, b) =>
    a.hlc === b.hlc ? compareBytes(a.value, b.value) : a.hlc < b.hlc ? 1 : -1
  )
  const steps: Step[] = []
  for (const step of descending) {
    const last = steps.at(-1)
    if (last === undefined || compareBytes(step.value, last.value) < 0) steps.push(step)
  }
  return steps.reverse()
}

const HLC_AT = 8
const AUTHOR_AT = HLC_AT + HLC_BYTES

// If two records arrived at the same moment, the one with the smaller stamp counts as the first.
function encodeSeenBy({ arrivedAtMs, hlc, author }: SeenBy): Uint8Array {
  return concatBytes(u64be(arrivedAtMs), encodeHlc(hlc), author)
}

function decodeSeenBy(value: Uint8Array): SeenBy {
  return {
    arrivedAtMs: Number(asBuffer(value).readBigUInt64BE(0)),
    hlc: decodeHlc(value.subarray(HLC_AT, AUTHOR_AT)),
    author: value.subarray(AUTHOR_AT)
  }
}
