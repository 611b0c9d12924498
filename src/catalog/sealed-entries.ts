import type { IndexDb } from '../disk/index-db.ts'
import { ENTRY_ID_BYTES } from '../format/entry.ts'
import type { Statement } from '../format/statement.ts'
import type { Log } from '../log/log.ts'
import type { KeyRing } from '../members/key-ring.ts'
import { toHex } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import type { ComponentLogger, Logger } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import { opensBody } from './bodies.ts'
import { DRAWN_FROM_MAX, OPEN_AT_ONCE, OPEN_EVERY_MS, PROBES_MAX } from './constants.ts'
import { placingRecords } from './heads.ts'
import { readEntryRow } from './rows/entry-row.ts'
import { entryKey, entryOfKey, sealedKey } from './rows/keys.ts'

export interface SealedEntriesOptions {
  index: IndexDb
  log: Pick<Log, 'again' | 'get'>
  keys: Pick<KeyRing, 'ids' | 'onAdded'>
  clock: Clock
  chance: Chance
  logger: ComponentLogger
  /** Called when entries have been opened, so that they may show. */
  onOpened?: (() => void) | undefined
}

/**
 * The entries that show nowhere because the key of the epoch that seals their place is not here. When a key arrives,
 * the worker asks the log to project again the record that places each of its entries. Then the entries show. After a
 * crash some of this is repeated, which changes nothing.
 */
export class SealedEntries {
  readonly worker: Worker
  readonly #options: SealedEntriesOptions
  readonly #log: Logger

  constructor(options: SealedEntriesOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:catalog:sealed')
    this.worker = new Worker({
      name: 'sealed entries',
      clock: options.clock,
      log: this.#log,
      everyMs: OPEN_EVERY_MS,
      firstMs: 0,
      work: signal => this.open(signal)
    })
    options.keys.onAdded(() => this.worker.wake())
  }

  /** Opens all entries whose keys are here. */
  async open(signal?: AbortSignal): Promise<void> {
    const { log, keys } = this.#options
    // A batch that is being projected now may have looked for the key before it was here. All batches after this call
    // find it.
    await log.again([])
    for (const epoch of keys.ids) await this.#openEpoch(epoch, signal)
  }

  /**
   * Returns false if an epoch has sealed entries here, and the key opens none of those in a small random sample. Any
   * writer may have signed entries that nobody can open, so one that opens is enough. If all fail, another draw may
   * find one.
   */
  async opensAny(epoch: Uint8Array, key: Uint8Array): Promise<boolean> {
    const { log } = this.#options
    const drawn = await this.#draw(epoch)
    if (drawn.length === 0) return true
    for (const place of await this.#placesOf(drawn)) {
      const found = await log.get(place)
      if (found !== undefined && opensBody(key, found.statement as Statement<'entry'>)) return true
    }
    return false
  }

  async #openEpoch(epoch: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    let opened = 0
    let after: Uint8Array | undefined
    for (let isEnd = false; !isEnd; ) {
      signal?.throwIfAborted()
      const entries: Uint8Array[] = []
      for await (const { key } of this.#options.index.range(sealedKey(epoch), { after, limit: OPEN_AT_ONCE })) {
        entries.push(entryOfKey(key))
        after = key
      }
      isEnd = entries.length < OPEN_AT_ONCE
      if (entries.length > 0) {
        await this.#options.log.again(await this.#placesOf(entries))
        this.#options.onOpened?.()
      }
      opened += entries.length
      // Let other work run: nearly all reads of the index resolve in the same turn of the event loop.
      await new Promise(resolve => setImmediate(resolve))
    }
    if (opened > 0) this.#log('looked again at %d entries whose key has arrived', opened)
  }

  /** Returns the ids of the records that place these entries, without those that are no longer sealed. */
  async #placesOf(entries: readonly Uint8Array[]): Promise<Uint8Array[]> {
    const { index } = this.#options
    const values = await index.getMany(entries.map(entry => entryKey(entry)))
    const places: Uint8Array[] = []
    for (const [i, value] of values.entries()) {
      if (value === undefined) continue
      const { isSealed, state } = await readEntryRow(index, entries[i] as Uint8Array, value)
      // A record that has arrived meanwhile may have opened the entry.
      if (isSealed) for (const { id } of placingRecords(state)) places.push(id)
    }
    return places
  }

  /** Returns up to `PROBES_MAX` sealed entries of an epoch, drawn from those that follow a random id. */
  async #draw(epoch: Uint8Array): Promise<Uint8Array[]> {
    const { index, chance } = this.#options
    const near = new Map<string, Uint8Array>()
    // After the last entry the first ones follow.
    for (const after of [sealedKey(epoch, chance.bytes(ENTRY_ID_BYTES)), undefined]) {
      const limit = DRAWN_FROM_MAX - near.size
      if (limit === 0) break
      for await (const { key } of index.range(sealedKey(epoch), { after, limit })) near.set(toHex(key), entryOfKey(key))
    }
    const rest = [...near.values()]
    const drawn: Uint8Array[] = []
    while (drawn.length < PROBES_MAX && rest.length > 0)
      drawn.push(...rest.splice(Math.floor(chance.fraction() * rest.length), 1))
    return drawn
  }
}
