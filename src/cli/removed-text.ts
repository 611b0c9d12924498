import type { AnswerOf } from '../contract/verbs.ts'
import { formatCount } from '../terminal/units.ts'
import { namesText } from './copies-text.ts'

type Removed = Pick<AnswerOf<'remove'>, 'removedOn' | 'waitingFor'>

/** Says on how many members something has been removed, and which of them will follow. */
export function removedText({ removedOn, waitingFor }: Removed, nowMs: number): string {
  const total = removedOn.length + waitingFor.length
  if (total === 1) return 'removed'
  const where = `removed on ${removedOn.length} of ${formatCount(total, 'member')}`
  if (waitingFor.length === 0) return where
  const isOne = waitingFor.length === 1
  const names = namesText(waitingFor, nowMs)
  // A member that is connected, but slow, has no last time at which it was seen.
  if (waitingFor.every(({ since }) => since === null))
    return `${where}; ${names} ${isOne ? 'has' : 'have'} not confirmed it yet`
  return `${where}; ${names} will remove it when ${isOne ? 'it is' : 'they are'} back`
}

/** Says on a terminal whom a removal still waits for. */
export function waitingText({ removedOn, waitingFor }: Removed): string {
  const total = removedOn.length + waitingFor.length
  const names = waitingFor.map(({ name }) => name)
  return `removed on ${removedOn.length} of ${formatCount(total, 'member')}; waiting for ${names.join(', ')} (Ctrl-C ends the wait, not the removal)`
}
