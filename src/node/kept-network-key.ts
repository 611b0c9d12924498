import type { KeepSecrets, Secrets } from '../disk/keystore.ts'

export interface KeptNetworkKeyOptions {
  secrets: Pick<Secrets, 'networkKey'>
  keep: KeepSecrets
  /** Whether a passphrase seals the keystore. */
  isSealed: boolean
}

/** The network key in the keystore of a running node: whether it is there, and its removal. */
export class KeptNetworkKey {
  readonly #keep: KeepSecrets
  readonly #isSealed: boolean
  #isHeld: boolean

  constructor({ secrets, keep, isSealed }: KeptNetworkKeyOptions) {
    this.#keep = keep
    this.#isSealed = isSealed
    this.#isHeld = secrets.networkKey !== undefined
  }

  get isHeld(): boolean {
    return this.#isHeld
  }

  /** True if anyone who takes the disk has the key. */
  get isExposed(): boolean {
    return this.#isHeld && !this.#isSealed
  }

  /** Removes the key, durably. Returns false if it was not there. */
  async forget(): Promise<boolean> {
    const wasHeld = this.#isHeld
    await this.#keep(({ networkKey: _, ...rest }) => rest)
    this.#isHeld = false
    return wasHeld
  }
}
