/** Lets reads pass, except while it is shut. Reads that come meanwhile wait. */
export class ReadGate {
  #underWay = 0
  #opened: Promise<void> | undefined
  #onIdle: () => void = () => {}

  get isShut(): boolean {
    return this.#opened !== undefined
  }

  /** Resolves once the gate is open. */
  async opened(): Promise<void> {
    while (this.#opened !== undefined) await this.#opened
  }

  /** Runs a read once the gate is open. */
  async run<T>(read: () => Promise<T>): Promise<T> {
    if (this.isShut) await this.opened()
    this.#underWay++
    try {
      return await read()
    } finally {
      this.#underWay--
      if (this.#underWay === 0) this.#onIdle()
    }
  }

  /** Runs `work` while no read is under way and none begins. */
  async shutWhile(work: () => Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#opened = promise
    try {
      if (this.#underWay > 0) await new Promise<void>(idle => (this.#onIdle = idle))
      await work()
    } finally {
      this.#onIdle = () => {}
      this.#opened = undefined
      resolve()
    }
  }
}
