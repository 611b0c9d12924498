/** The owner of some leases, and how many bytes they hold. */
export interface LeaseHolder {
  taken: number
}

/** A part of a budget. A `Lease` is its handle, and may be passed on. */
export interface Share<Owner extends LeaseHolder = LeaseHolder> {
  bytes: number
  owner: Owner
  /** Set while the share is lent: when the loan began (monotonic), and what to call when the share is taken back. */
  lent?: { sinceMs: number; onTakenBack: () => void } | undefined
}

/** The calls that a lease makes to its budget. */
export interface Ledger {
  free: (share: Share, bytes: number) => void
  keep: (share: Share) => void
  noteLent: (share: Share, onTakenBack: (() => void) | undefined) => void
}

/**
 * Permission to have some bytes in memory. The code that has the handle owns the buffer that the lease stands for. It
 * releases the lease in a `finally`, or passes it on to code that calls `take`. A handle whose lease was taken or
 * released releases nothing. So a lease is released exactly once, even if nobody takes a lease that was passed on.
 */
export class Lease {
  readonly #ledger: Ledger
  #share: Share | undefined

  /** Only a `Budget` makes leases. */
  constructor(ledger: Ledger, share: Share) {
    this.#ledger = ledger
    this.#share = share
  }

  /** The number of bytes that it holds, or 0 once it has been taken or released. */
  get bytes(): number {
    return this.#share?.bytes ?? 0
  }

  /** Moves the lease to the caller. It is not lent any more, and not spare (see `Budget.trySpare`). */
  take(): Lease {
    const share = this.#share
    if (share === undefined) throw new TypeError('this lease was taken or released before')
    this.endLoan()
    this.#ledger.keep(share)
    this.#share = undefined
    return new Lease(this.#ledger, share)
  }

  /** Keeps only this many bytes and releases the rest. A lease never grows. */
  shrink(bytes: number): void {
    if (this.#share !== undefined && bytes < this.#share.bytes)
      this.#ledger.free(this.#share, this.#share.bytes - bytes)
  }

  /** Releases the remaining bytes. Has no effect if the lease was released or taken before. */
  release(): void {
    const share = this.#share
    this.#share = undefined
    if (share !== undefined) this.#ledger.free(share, share.bytes)
  }

  /**
   * Says that the owner now waits for somebody outside this node, such as a client that reads or writes. If that takes
   * too long while others wait for the budget, the lease is released, and then `onTakenBack` is called.
   */
  lend(onTakenBack: () => void): void {
    const share = this.#share
    if (share === undefined) return
    const onDue = (): void => {
      this.release()
      onTakenBack()
    }
    this.#ledger.noteLent(share, onDue)
  }

  /** Ends `lend`. */
  endLoan(): void {
    if (this.#share !== undefined) this.#ledger.noteLent(this.#share, undefined)
  }
}
