import type { KeyObject } from 'node:crypto'
import { type GearTable, gearTable } from '../format/fastcdc.ts'
import { epochSubkeys } from '../format/network-key.ts'
import { secretKey } from '../format/seal.ts'
import { compareBytes, toHex } from '../util/bytes.ts'

/** The two keys of an epoch, ready to seal and open with. */
export interface Epoch {
  id: Uint8Array
  content: KeyObject
  record: KeyObject
  /** The table by which content-defined chunks are cut. */
  gear: GearTable
}

/** Says where each epoch is in the chain of epochs. */
export interface EpochOrder {
  /**
   * Returns the length of the longest chain of epochs before this one; undefined if it is not known. The first has 0.
   */
  depthOf(id: Uint8Array): number | undefined
}

/** Without an order all epochs are equally deep. */
const NO_ORDER: EpochOrder = { depthOf: () => 0 }

/** The epoch keys that this member holds. Keys may arrive at any time, and in any order. */
export class KeyRing {
  readonly #epochs = new Map<string, Epoch>()
  readonly #order: EpochOrder
  readonly #listeners: Array<(id: Uint8Array) => void> = []

  constructor(keys: ReadonlyArray<{ id: Uint8Array; key: Uint8Array }>, order: EpochOrder = NO_ORDER) {
    this.#order = order
    for (const { id, key } of keys) this.add(id, key)
  }

  /** Adds the key of an epoch, from which both subkeys and the table are derived. The caller has checked that it is the right key. */
  add(id: Uint8Array, key: Uint8Array): void {
    if (this.has(id)) return
    const { content, record } = epochSubkeys(key)
    this.#epochs.set(toHex(id), {
      id,
      content: secretKey(content),
      record: secretKey(record),
      gear: gearTable(key)
    })
    for (const listener of this.#listeners) listener(id)
  }

  /** The listener is called with the id of each epoch whose key arrives from now on. It must not throw. */
  onAdded(listener: (id: Uint8Array) => void): void {
    this.#listeners.push(listener)
  }

  /**
   * The epoch under which this member writes: the deepest one whose key it holds, and of equally deep ones the one with
   * the greatest id. So all members that hold the same keys write under the same epoch, in whatever order the keys
   * reached them. Undefined if it holds no key, or does not know the depth of any of its epochs.
   */
  get newest(): Epoch | undefined {
    let newest: { epoch: Epoch; depth: number } | undefined
    for (const epoch of this.#epochs.values()) {
      const depth = this.#order.depthOf(epoch.id)
      if (depth === undefined) continue
      const order = newest === undefined ? 1 : depth - newest.depth || compareBytes(epoch.id, newest.epoch.id)
      if (order > 0) newest = { epoch, depth }
    }
    return newest?.epoch
  }

  /** Returns the epoch with this id; undefined if this member does not hold its key. */
  get(id: Uint8Array): Epoch | undefined {
    return this.#epochs.get(toHex(id))
  }

  /** The ids of the epochs whose keys it holds. */
  get ids(): Uint8Array[] {
    return [...this.#epochs.values()].map(({ id }) => id)
  }

  has(id: Uint8Array): boolean {
    return this.#epochs.has(toHex(id))
  }
}
