import type { AnswerOf } from '../contract/verbs.ts'
import { formatCount } from '../terminal/units.ts'
import { namesText } from './copies-text.ts'

type Removed = Pick<AnswerOf<'remove'>, 'removedOn' | 'waitingFor' | 'out'>

/** Says on how many members something has been removed, and which of them will follow. */
export function removedText(result: Removed, nowMs: number): string {
  const { waitingFor, out } = result
  const texts = [countText(result)]
  // A member that is connected, but slow, has no last time at which it was seen.
  const isConnected = waitingFor.every(({ since }) => since === null)
  if (waitingFor.length > 0)
    texts.push(
      isConnected
        ? `${namesText(waitingFor, nowMs)} ${waitingFor.length === 1 ? 'has' : 'have'} not confirmed it yet`
        : `${namesText(waitingFor, nowMs)} will remove it when ${waitingFor.length === 1 ? 'it is' : 'they are'} back`
    )
  if (out.length > 0)
    texts.push(
      out.length === 1
        ? `${namesText(out, nowMs)} is out, and will remove it if it comes back`
        : `${namesText(out, nowMs)} are out, and will remove it if they come back`
    )
  return texts.join('; ')
}

/** Says on a terminal whom a removal still waits for. */
export function waitingText(result: Removed): string {
  const names = result.waitingFor.map(({ name }) => name)
  return `${countText(result)}; waiting for ${names.join(', ')} (Ctrl-C ends the wait, not the removal)`
}

function countText({ removedOn, waitingFor, out }: Removed): string {
  const total = removedOn.length + waitingFor.length + out.length
  return total === 1 ? 'removed' : `removed on ${removedOn.length} of ${formatCount(total, 'member')}`
}
