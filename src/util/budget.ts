import type { Clock } from './clock.ts'
import { Lease, type LeaseHolder, type Ledger, type Share } from './lease.ts'

export type { Lease } from './lease.ts'

export interface BudgetOptions {
  /** The most bytes that all leases together may hold. */
  bytesMax: number
  /** The most bytes that one owner may hold. Only a single lease may be larger. The default is `bytesMax`. */
  ownerBytesMax?: number
  /**
   * Bytes that only an owner without any lease may take. Thanks to them, an owner that holds much and never releases it
   * cannot keep others from their first lease.
   */
  reservedBytes?: number
  /** How long a lease may be lent while others wait. Without it, a lease may be lent for ever. */
  lending?: { clock: Clock; msMax: number } | undefined
}

export interface LeaseOptions {
  /** Who asks for the lease: a put, a reader or a peer. Owners take turns. */
  owner: string
  signal?: AbortSignal | undefined
}

interface Waiting {
  bytes: number
  grant: (lease: Lease) => void
  fail: (error: unknown) => void
}

interface Owner extends LeaseHolder {
  name: string
  /** Its requests, in the order in which they came. */
  waiting: Waiting[]
}

/**
 * Bounds the bytes that one kind of work may have in memory. Work takes a lease before it allocates, and waits for it
 * if there is no room. Owners take turns, and each owner's requests are granted in their order. Only an owner that has
 * nothing may take the reserved bytes, so an owner that holds on to much slows down only itself. If the next owner has
 * no lease and its request does not fit, all others wait, so small requests cannot starve a large one.
 */
export class Budget {
  readonly #options: Required<Omit<BudgetOptions, 'lending'>> & Pick<BudgetOptions, 'lending'>
  readonly #owners = new Map<string, Owner>()
  /** The waiting owners, in the order of their turns. */
  readonly #turns = new Set<Owner>()
  /** The leases that are lent, the oldest loan first. */
  readonly #lent = new Set<Share<Owner>>()
  /** Leases that their owners can do without, with the functions that release them. */
  readonly #spare = new Map<Share<Owner>, () => void>()
  readonly #ledger: Ledger = {
    free: (share, bytes) => this.#free(share as Share<Owner>, bytes),
    keep: share => this.#spare.delete(share as Share<Owner>),
    noteLent: (share, onTakenBack) => this.#noteLent(share as Share<Owner>, onTakenBack)
  }
  #taken = 0
  #cancelTimer: (() => void) | undefined

  constructor(options: BudgetOptions) {
    this.#options = { ownerBytesMax: options.bytesMax, reservedBytes: 0, ...options }
  }

  /** The bytes of all leases. */
  get taken(): number {
    return this.#taken
  }

  /** The bytes of the leases of one owner. */
  takenBy(name: string): number {
    return this.#owners.get(name)?.taken ?? 0
  }

  /** The number of requests that wait. */
  get waiting(): number {
    let waiting = 0
    for (const owner of this.#turns) waiting += owner.waiting.length
    return waiting
  }

  /**
   * Waits until there is room for this many bytes. A request for more than the budget is granted once all of it is free.
   * Rejects with the reason of the signal, or of `fail`.
   */
  async acquire(bytes: number, { owner: name, signal }: LeaseOptions): Promise<Lease> {
    signal?.throwIfAborted()
    const wanted = Math.min(bytes, this.#options.bytesMax)
    const owner = this.#ownerOf(name)
    if (this.#turns.size === 0 && this.#fits(owner, wanted)) return this.#lease(owner, wanted)
    const { promise, resolve, reject } = Promise.withResolvers<Lease>()
    const entry: Waiting = { bytes: wanted, grant: resolve, fail: reject }
    owner.waiting.push(entry)
    this.#turns.add(owner)
    const onAbort = (): void => {
      this.#withdraw(owner, entry)
      reject(signal?.reason)
      this.#grant()
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    this.#grant()
    try {
      return await promise
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Runs `work` while it has a lease. */
  async run<T>(bytes: number, options: LeaseOptions, work: (lease: Lease) => Promise<T>): Promise<T> {
    const lease = await this.acquire(bytes, options)
    try {
      return await work(lease)
    } finally {
      lease.release()
    }
  }

  /** Returns a lease if there is room now and nobody waits. */
  tryAcquire(bytes: number, name: string): Lease | undefined {
    const share = this.#tryShare(bytes, name)
    return share === undefined ? undefined : new Lease(this.#ledger, share)
  }

  /**
   * Like `tryAcquire`, for bytes that the owner can do without. If others have to wait, `onReclaim` is called, and must
   * drop the bytes and release the lease at once. Take the lease when the bytes are needed after all.
   */
  trySpare(bytes: number, name: string, onReclaim: () => void): Lease | undefined {
    const share = this.#tryShare(bytes, name)
    if (share === undefined) return undefined
    this.#spare.set(share, onReclaim)
    return new Lease(this.#ledger, share)
  }

  /** Fails the requests of an owner that still wait. */
  fail(name: string, error: unknown): void {
    const owner = this.#owners.get(name)
    if (owner === undefined) return
    this.#turns.delete(owner)
    for (const { fail } of owner.waiting.splice(0)) fail(error)
    this.#forget(owner)
    this.#grant()
  }

  #free(share: Share<Owner>, bytes: number): void {
    share.bytes -= bytes
    share.owner.taken -= bytes
    this.#taken -= bytes
    if (share.bytes === 0) {
      this.#lent.delete(share)
      this.#spare.delete(share)
    }
    this.#forget(share.owner)
    this.#grant()
  }

  #noteLent(share: Share<Owner>, onTakenBack: (() => void) | undefined): void {
    const { lending } = this.#options
    if (lending === undefined) return
    this.#lent.delete(share)
    if (onTakenBack === undefined) return
    share.lent = { sinceMs: lending.clock.monotonic(), onTakenBack }
    this.#lent.add(share)
    if (this.#turns.size > 0) this.#watchLoans()
  }

  #ownerOf(name: string): Owner {
    let owner = this.#owners.get(name)
    if (owner === undefined) {
      owner = { name, taken: 0, waiting: [] }
      this.#owners.set(name, owner)
    }
    return owner
  }

  #forget(owner: Owner): void {
    if (owner.taken === 0 && owner.waiting.length === 0) this.#owners.delete(owner.name)
  }

  #withdraw(owner: Owner, entry: Waiting): void {
    const at = owner.waiting.indexOf(entry)
    if (at >= 0) owner.waiting.splice(at, 1)
    if (owner.waiting.length === 0) this.#turns.delete(owner)
    this.#forget(owner)
  }

  #isAllowed(owner: Owner, bytes: number): boolean {
    if (owner.taken === 0) return true
    const { bytesMax, ownerBytesMax, reservedBytes } = this.#options
    return owner.taken + bytes <= ownerBytesMax && this.#taken + bytes <= bytesMax - reservedBytes
  }

  #fits(owner: Owner, bytes: number): boolean {
    return this.#isAllowed(owner, bytes) && this.#taken + bytes <= this.#options.bytesMax
  }

  #tryShare(bytes: number, name: string): Share<Owner> | undefined {
    const owner = this.#ownerOf(name)
    if (this.#turns.size === 0 && this.#fits(owner, bytes)) return this.#share(owner, bytes)
    this.#forget(owner)
    return undefined
  }

  #share(owner: Owner, bytes: number): Share<Owner> {
    this.#taken += bytes
    owner.taken += bytes
    return { bytes, owner }
  }

  #lease(owner: Owner, bytes: number): Lease {
    return new Lease(this.#ledger, this.#share(owner, bytes))
  }

  #grant(): void {
    for (;;) {
      const next = this.#next()
      if (next === undefined) break
      if (this.#fits(next, (next.waiting[0] as Waiting).bytes)) this.#grantTo(next)
      else {
        // Take back spare leases before anybody has to wait.
        const [spare] = this.#spare
        if (spare === undefined) break
        const [share, reclaim] = spare
        this.#spare.delete(share)
        reclaim()
      }
    }
    if (this.#turns.size > 0) this.#watchLoans()
    else this.#endWatch()
  }

  /** Returns the owner whose turn it is. Owners that have used up their own share are passed over. */
  #next(): Owner | undefined {
    for (const owner of this.#turns) if (this.#isAllowed(owner, (owner.waiting[0] as Waiting).bytes)) return owner
    return undefined
  }

  #grantTo(owner: Owner): void {
    const { bytes, grant } = owner.waiting.shift() as Waiting
    // Move it to the end of the line.
    this.#turns.delete(owner)
    if (owner.waiting.length > 0) this.#turns.add(owner)
    grant(this.#lease(owner, bytes))
  }

  /** Takes back the leases that have been lent for too long, or waits until one has been. */
  #watchLoans(): void {
    const { lending } = this.#options
    const [oldest] = this.#lent
    if (lending === undefined || oldest?.lent === undefined || this.#cancelTimer !== undefined) return
    const leftMs = oldest.lent.sinceMs + lending.msMax - lending.clock.monotonic()
    this.#cancelTimer = lending.clock.after(Math.max(0, leftMs), () => {
      this.#cancelTimer = undefined
      const [due] = this.#lent
      const isDue = due?.lent !== undefined && due.lent.sinceMs + lending.msMax <= lending.clock.monotonic()
      if (isDue && this.#turns.size > 0) {
        this.#lent.delete(due)
        due.lent?.onTakenBack()
      }
      if (this.#turns.size > 0) this.#watchLoans()
    })
  }

  #endWatch(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
  }
}
