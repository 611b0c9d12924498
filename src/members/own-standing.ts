import type { Role } from '../format/kinds.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { Clock } from '../util/clock.ts'
import type { Logger } from '../util/logger.ts'
import { isWriter } from './authority.ts'
import { NotAllowedError } from './errors.ts'
import { DUPLICATE_MS } from './joining/constants.ts'
import type { LocalMember } from './local-member.ts'
import type { MembershipEvent } from './members-options.ts'
import type { Roster } from './roster.ts'

export interface OwnStandingOptions {
  self: LocalMember
  roster: Roster
  clock: Clock
  log: Logger
  emit: (event: MembershipEvent) => void
}

/** The number of other members that an error names. */
const NAMES_SHOWN_MAX = 3

const MAY_NOT_WRITE: Partial<Record<Role, string>> = {
  reader:
    'this machine is a reader: it reads and stores, and may not change files (an admin can change that: dfs members role NAME writer)',
  storage: 'this machine is a storage member: it holds what others store and can read nothing'
}

/** What has become of this device's own membership: its role, whether it was removed, and whether it was copied. */
export class OwnStanding {
  readonly #options: OwnStandingOptions
  #isRemoved = false
  /** When somebody last said that a second process runs with our identity; monotonic time. */
  #duplicateAtMs = Number.NEGATIVE_INFINITY

  constructor(options: OwnStandingOptions) {
    this.#options = options
  }

  /** True if this device was a member and no longer is. */
  get isRemoved(): boolean {
    return this.#isRemoved
  }

  /** True if a member said within `DUPLICATE_MS` that a second process runs with our identity. */
  get isDuplicated(): boolean {
    return this.#options.clock.monotonic() - this.#duplicateAtMs < DUPLICATE_MS
  }

  /** Throws a `NotAllowedError` if our role does not allow us to write. */
  assertRole(): void {
    const { role } = this.#options.self
    if (!isWriter(role)) throw new NotAllowedError(MAY_NOT_WRITE[role])
  }

  /** Throws a `NotAllowedError` if our role does not allow us to read names, and says which members can. */
  assertReads(): void {
    const { self, roster } = this.#options
    if (self.role !== 'storage') return
    const readers = roster.members.filter(({ role }) => role !== 'storage').map(({ name }) => name)
    const where = readers.length === 0 ? 'a member of another role' : readers.slice(0, NAMES_SHOWN_MAX).join(' or ')
    throw new NotAllowedError(
      `this machine is a storage member: it keeps blocks and can read neither names nor files: run this on ${where}`
    )
  }

  /** Must be called when the roster has changed. */
  follow(): void {
    const { roster, self, emit } = this.#options
    self.follow(roster)
    const standing = roster.member(self.peerId) === undefined ? roster.standingOf(self.grant.id) : 'effective'
    const isRemoved = standing !== undefined && standing !== 'effective'
    if (isRemoved && !this.#isRemoved) emit({ event: 'removed', peer: self.peerId })
    this.#isRemoved = isRemoved
  }

  /** Notes that two processes run with the identity of a peer, which may be our own. */
  onDuplicate(peer: PeerId): void {
    const { self, clock, log, emit } = this.#options
    if (peer === self.peerId) this.#duplicateAtMs = clock.monotonic()
    log('two processes run with the identity of %s', peer)
    emit({ event: 'duplicate', peer })
  }
}
