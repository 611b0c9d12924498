import { ipIn } from '../../wire/origin.ts'
import type { TurnedAway } from './newcomer-options.ts'

const MINUTE_MS = 60_000

/** Returns the sentence that tells the owner of an answer that did not let this machine in. */
export function turnedAwayText({ address, reason, places }: TurnedAway): string {
  const where = ipIn(address) || address || 'a member'
  // These two say nothing that only a member may say.
  if (reason === 'foreign' || reason === 'nobody-admits')
    return `${where} ${ANSWERS[reason]}: this machine goes on trying`
  if (reason !== 'busy')
    return `${where} answers that ${ANSWERS[reason]}, but has not proven that it may say so: this machine goes on trying`
  if (places === undefined) return `${where} is busy with other machines: this machine goes on trying`
  const { waiting, freeMs } = places
  const minutes = Math.ceil(freeMs / MINUTE_MS)
  const when = minutes > 1 ? `${minutes} minutes` : 'a minute'
  const others = waiting === 1 ? '1 machine waits' : `${waiting} machines wait`
  return `${others} already at ${where}: approve or deny them there, or a place is free in ${when}; this machine goes on trying`
}

const ANSWERS: Record<Exclude<TurnedAway['reason'], 'busy'>, string> = {
  declined: 'nothing is to be joined',
  denied: 'a person turned this machine away',
  'gave-up': 'nobody let this machine in',
  'nobody-admits': 'cannot let machines in (an admin can)',
  foreign: 'belongs to another network',
  'clock-off': "this machine's clock is more than 5 minutes off",
  expired: 'this invite has expired',
  revoked: 'this invite was revoked',
  'used-up': 'this invite has been used as often as it may be'
}
