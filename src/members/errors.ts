import { DfsError } from '../util/errors.ts'
import type { EndedCode } from './joining/ended-codes.ts'

/** The node that answers at an address belongs to another network: its key is not ours. */
export class WrongNetworkError extends DfsError {
  override readonly name = 'WrongNetworkError'
  override readonly code = 'wrong-network'

  /** The id of that network, if it is known. */
  readonly network: Uint8Array | undefined

  constructor(network?: Uint8Array) {
    super('that node belongs to another network: its key is not ours')
    this.network = network
  }
}

/** The grant of a peer is not valid: not signed by this network, not for this peer, or expired. */
export class GrantError extends DfsError {
  override readonly name = 'GrantError'
  override readonly code = 'not-allowed'
}

/** This member's role does not allow what was asked. */
export class NotAllowedError extends DfsError {
  override readonly name = 'NotAllowedError'
  override readonly code = 'not-allowed'
}

/**
 * This machine's clock differs from most members' clocks by minutes, so they would refuse anything that this member
 * signs now.
 */
export class ClockOffError extends DfsError {
  override readonly name = 'ClockOffError'
  override readonly code = 'clock-off'
  /** How far the clock of the peer is ahead of ours, if a peer is concerned; negative if it is behind. */
  readonly aheadMs: number | undefined

  constructor(message: string, { aheadMs, ...options }: ErrorOptions & { aheadMs?: number | undefined } = {}) {
    super(message, options)
    this.aheadMs = aheadMs
  }
}

/** Another process runs with the identity of this peer: its data directory was copied. */
export class DuplicateError extends DfsError {
  override readonly name = 'DuplicateError'
  override readonly code = 'not-allowed'

  constructor() {
    super('two nodes run with one peer id')
  }
}

/** No machine waits with this code, here or at an admin that is connected. The message says what became of it, if that is known. */
export class UnknownCodeError extends DfsError {
  override readonly name = 'UnknownCodeError'
  override readonly code = 'not-found'

  constructor(ended: EndedCode | undefined) {
    super(ended === undefined ? 'no machine waits with this code: see dfs members' : endOf(ended))
  }
}

function endOf({ name, how }: EndedCode): string {
  switch (how) {
    case 'granted':
      return `${name} was let in with this code`
    case 'denied':
      return `${name} was turned away: to ask again it has to be started again`
    case 'expired':
      return `this code of ${name} is no longer valid: ${name} shows a new one while it waits`
    case 'withdrawn':
      return `${name} was stopped and no longer asks: start it again, and it shows a new code`
  }
}

/** No member or invite matches what the caller gave. */
export class UnknownMemberError extends DfsError {
  override readonly name = 'UnknownMemberError'
  override readonly code = 'not-found'
}

/** The caller asked for a lower role than the member has. */
export class LowerRoleError extends DfsError {
  override readonly name = 'LowerRoleError'
  override readonly code = 'unsupported'

  constructor() {
    super('taking a role away is not built yet')
  }
}

/** A setting that statements may have, and that has no effect yet. */
export class NotBuiltSettingError extends DfsError {
  override readonly name = 'NotBuiltSettingError'
  override readonly code = 'unsupported'

  constructor() {
    super('this setting is not built yet')
  }
}
