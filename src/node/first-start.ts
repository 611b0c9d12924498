import type { NodeEvent, NodeOptions } from '../api.ts'
import type { DataDirectory } from '../disk/directory-claim.ts'

/** Decides whether a start that fails must be undone. */
export class FirstStart {
  readonly #directory: DataDirectory
  #isUndone: boolean
  #isKnown = false

  constructor(directory: DataDirectory) {
    this.#directory = directory
    // An interrupted start may have become known to others.
    this.#isUndone = directory.isFirstStart && !directory.wasInterrupted
  }

  /** False once a member has been reached: it knows this node now, and may count on what this node stores. */
  get mustUndo(): boolean {
    return this.#isUndone && !this.#isKnown
  }

  onEvent({ event }: NodeEvent): void {
    if (event === 'admitted') this.#isKnown = true
  }

  async confirm(confirm: NodeOptions['confirmFirstStart']): Promise<void> {
    if (!this.#directory.isFirstStart) return
    this.#isUndone = true
    await confirm?.()
    await this.joined()
  }

  /** The keys of this device are on the disk, and it asks to be let in. If it is stopped, the next start goes on. */
  asks(): void {
    this.#isUndone = false
  }

  /** Members have let this device in, so its keys must stay, even if the disk refuses the keystore now. */
  granted(): void {
    this.#isKnown = true
  }

  /** This device will not be let in, so nobody knows its keys. */
  refused(): void {
    this.#isUndone = this.#directory.isFirstStart
  }

  /** This device is a member, and its keystore is on the disk. */
  async joined(): Promise<void> {
    await this.#directory.finishFirstStart()
    this.#isUndone = false
  }
}
