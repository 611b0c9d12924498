import type { KeyObject } from 'node:crypto'
import { epochSubkeys } from '../format/network-key.ts'
import { secretKey } from '../format/seal.ts'
import { toHex } from '../util/bytes.ts'

/** The two keys of an epoch, ready to seal and open with. */
export interface Epoch {
  id: Uint8Array
  content: KeyObject
  record: KeyObject
}

/** The epoch keys that this member holds. */
export class KeyRing {
  readonly #epochs = new Map<string, Epoch>()
  #newest: Epoch | undefined

  constructor(keys: ReadonlyArray<{ id: Uint8Array; key: Uint8Array }>) {
    for (const { id, key } of keys) this.add(id, key)
  }

  /** Adds the key of an epoch, from which both subkeys are derived. From now on it is the newest. */
  add(id: Uint8Array, key: Uint8Array): void {
    const { content, record } = epochSubkeys(key)
    const epoch = { id, content: secretKey(content), record: secretKey(record) }
    this.#epochs.set(toHex(id), epoch)
    this.#newest = epoch
  }

  /** The epoch under which this member writes; undefined if it holds no epoch key. */
  get newest(): Epoch | undefined {
    return this.#newest
  }

  /** Returns the epoch with this id; undefined if this member does not hold its key. */
  get(id: Uint8Array): Epoch | undefined {
    return this.#epochs.get(toHex(id))
  }
}
