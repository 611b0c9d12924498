import type { Records } from '../catalog/change.ts'
import type { PeerId } from '../format/peer-id.ts'
import { OverLimitError } from '../util/errors.ts'
import { ACKNOWLEDGED_AT_ONCE, ACKNOWLEDGED_MAX, ACKNOWLEDGED_POLL_MS } from './constants.ts'
import { type FsContext, outMembers } from './context.ts'

type Context = Pick<FsContext, 'members' | 'sync' | 'clock'>

/**
 * Follows which members have acknowledged the records of one verb, for as long as the caller waits. A member that was
 * not there when the records were pushed gets them from the log when it comes back. Then it is asked whether it has
 * them, because only the member itself knows. It keeps the id of each record in memory.
 */
export class Acknowledgements {
  readonly #fs: Context
  readonly #ids: Uint8Array[] = []
  /** The number of ids, counted from the first, that each member has said it has. */
  readonly #counts = new Map<PeerId, number>()
  #isTooMany = false

  constructor(fs: Context) {
    this.#fs = fs
  }

  /** Adds records that the verb has appended. */
  add(records: Records): void {
    if (this.#ids.length + records.length > ACKNOWLEDGED_MAX) this.#isTooMany = true
    else for (const { id } of records) this.#ids.push(id)
  }

  /**
   * Asks the members for what they have not acknowledged yet, again and again. Yields those that have everything, each
   * time that fewer are left to wait for. Ends when no member is left to wait for. A member that is out is not waited for,
   * nor is one that has been removed: nobody knows whether it comes back. Throws an `OverLimitError` if there are too
   * many records to follow.
   */
  async *follow(acknowledged: ReadonlySet<PeerId>, signal: AbortSignal | undefined): AsyncGenerator<Set<PeerId>> {
    const done = new Set(acknowledged)
    for (let before: number | undefined; ; ) {
      const left = this.#awaited().filter(peer => !done.has(peer))
      if (before !== undefined && left.length < before) yield new Set(done)
      if (left.length === 0) return
      before = left.length
      if (this.#isTooMany)
        throw new OverLimitError(
          `everything was removed, but more than ${ACKNOWLEDGED_MAX} entries cannot be waited for: dfs members shows who is away`
        )
      const has = await Promise.all(left.map(peer => this.#hasAll(peer)))
      signal?.throwIfAborted()
      for (const [i, peer] of left.entries()) if (has[i]) done.add(peer)
      if (!has.includes(true)) await this.#fs.clock.sleep(ACKNOWLEDGED_POLL_MS, signal)
    }
  }

  /** All other members that are not out, whether or not they are connected. */
  #awaited(): PeerId[] {
    const { members } = this.#fs
    const out = outMembers(members)
    return members.all.map(({ peer }) => peer).filter(peer => peer !== members.self.peerId && !out.has(peer))
  }

  async #hasAll(peer: PeerId): Promise<boolean> {
    if (!this.#fs.members.isAdmitted(peer)) return false
    let count = this.#counts.get(peer) ?? 0
    while (count < this.#ids.length) {
      const page = this.#ids.slice(count, count + ACKNOWLEDGED_AT_ONCE)
      if (!(await this.#fs.sync.hasAll(peer, page))) return false
      count += page.length
      this.#counts.set(peer, count)
    }
    return true
  }
}
