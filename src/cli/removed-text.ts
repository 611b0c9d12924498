import type { AnswerOf } from '../contract/verbs.ts'
import { formatCount } from '../terminal/units.ts'
import { namesText } from './copies-text.ts'

type Removed = Pick<AnswerOf<'remove'>, 'removedOn' | 'waitingFor'>

/** Says on how many members something has been removed, and which of them will follow. */
export function removedText(result: Removed, nowMs: number): string {
  const { waitingFor } = result
  if (waitingFor.length === 0) return countText(result)
  const names = namesText(waitingFor, nowMs)
  const isOne = waitingFor.length === 1
  // A member that is connected, but slow, has no last time at which it was seen.
  const isConnected = waitingFor.every(({ since }) => since === null)
  const what = isConnected
    ? `${names} ${isOne ? 'has' : 'have'} not confirmed it yet`
    : `${names} will remove it when ${isOne ? 'it is' : 'they are'} back`
  return `${countText(result)}; ${what}`
}

/** Says on a terminal whom a removal still waits for. */
export function waitingText(result: Removed): string {
  const names = result.waitingFor.map(({ name }) => name)
  return `${countText(result)}; waiting for ${names.join(', ')} (Ctrl-C ends the wait, not the removal)`
}

function countText({ removedOn, waitingFor }: Removed): string {
  const total = removedOn.length + waitingFor.length
  return total === 1 ? 'removed' : `removed on ${removedOn.length} of ${formatCount(total, 'member')}`
}
