import { DfsError, InvalidInputError } from '../../util/errors.ts'
import { ClockOffError, NotAllowedError } from '../errors.ts'
import type { EndReason } from './newcomer-machine.ts'

/** This machine is not a member yet, so it can do nothing but report its state. */
export class PendingError extends DfsError {
  override readonly name = 'PendingError'
  override readonly code = 'not-allowed'
}

/** A person turned this machine away. */
export class DeniedError extends DfsError {
  override readonly name = 'DeniedError'
  override readonly code = 'not-allowed'

  constructor() {
    super('a member turned this machine away')
  }
}

/** Nobody approved any of the codes that this machine showed. */
export class NobodyApprovedError extends DfsError {
  override readonly name = 'NobodyApprovedError'
  override readonly code = 'unreachable'

  constructor() {
    super('nobody let this machine in: start again when someone can run dfs members approve')
  }
}

/** No member that answers may let this machine in with its invite. */
export class NobodyAdmitsError extends DfsError {
  override readonly name = 'NobodyAdmitsError'
  override readonly code = 'unreachable'

  constructor() {
    super(
      'no member that may let machines in answers (an admin, for an invite to become an admin): start one, or give --bootstrap'
    )
  }
}

/** Every peer that answers belongs to another network than the one to join. */
export class OtherNetworkError extends DfsError {
  override readonly name = 'OtherNetworkError'
  override readonly code = 'wrong-network'
}

export class InviteExpiredError extends DfsError {
  override readonly name = 'InviteExpiredError'
  override readonly code = 'expired'

  constructor(notAfterMs: number) {
    const when = new Date(notAfterMs).toISOString().slice(0, 16).replace('T', ' ')
    super(`this invite has expired (${when} UTC): ask for a new one`)
  }
}

export class InviteUsedUpError extends DfsError {
  override readonly name = 'InviteUsedUpError'
  override readonly code = 'used-up'

  constructor() {
    super('this invite has been used as often as it may be: ask for a new one')
  }
}

export class InviteRevokedError extends DfsError {
  override readonly name = 'InviteRevokedError'
  override readonly code = 'revoked'

  constructor() {
    super('this invite was revoked: ask for a new one')
  }
}

/** Returns the error that tells the owner why this machine will not be let in. `notAfterMs` is the end of its invite. */
export function errorOf(reason: EndReason, notAfterMs: number | undefined): DfsError {
  const hasInvite = notAfterMs !== undefined
  switch (reason) {
    case 'declined':
      return new InvalidInputError('nothing was joined or founded: pass --new to found a network of your own')
    case 'denied':
      return new DeniedError()
    case 'gave-up':
      return new NobodyApprovedError()
    case 'nobody-admits':
      return hasInvite
        ? new NobodyAdmitsError()
        : new NotAllowedError(
            "no admin answers at these addresses: give the address of an admin's machine (dfs members shows the roles)"
          )
    case 'foreign':
      return new OtherNetworkError(
        `the node that answers belongs to another network than ${hasInvite ? 'this invite' : 'the one to join'}`
      )
    case 'clock-off':
      return new ClockOffError(
        "this machine's clock is more than 5 minutes off the network's: set it, then start again"
      )
    case 'expired':
      return new InviteExpiredError(notAfterMs ?? 0)
    case 'revoked':
      return new InviteRevokedError()
    case 'used-up':
      return new InviteUsedUpError()
  }
}
