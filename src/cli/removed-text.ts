import type { AnswerOf } from '../contract/verbs.ts'
import { formatCount } from '../terminal/units.ts'
import { namesText } from './copies-text.ts'
import { localTime } from './times.ts'

type Removed = Pick<AnswerOf<'remove'>, 'removedOn' | 'waitingFor' | 'out' | 'freesAt'>

/** What `dfs rm` was told to do besides removing. */
interface How {
  purge: boolean
  cancel: boolean
}

/** Says on how many members something has been removed, which of them will follow, and when its space returns. */
export function removedText(result: Removed, how: How, nowMs: number): string {
  const parts = [countText(result, how.cancel ? 'purge cancelled' : 'removed')]
  parts.push(...followTexts(result, how.cancel ? 'keep its versions' : 'remove it', nowMs))
  const space = spaceText(result, how, nowMs)
  if (space !== undefined) parts.push(space)
  return parts.join('; ')
}

/** Says on a terminal whom a removal still waits for. */
export function waitingText(result: Removed): string {
  const names = result.waitingFor.map(({ name }) => name)
  return `${countText(result, 'removed')}; waiting for ${names.join(', ')} (Ctrl-C ends the wait, not the removal)`
}

function countText({ removedOn, waitingFor, out }: Removed, done: string): string {
  const total = removedOn.length + waitingFor.length + out.length
  return total === 1 ? done : `${done} on ${removedOn.length} of ${formatCount(total, 'member')}`
}

function followTexts({ waitingFor, out }: Removed, what: string, nowMs: number): string[] {
  const texts: string[] = []
  if (waitingFor.length > 0) {
    const names = namesText(waitingFor, nowMs)
    const isOne = waitingFor.length === 1
    // A member that is connected, but slow, has no last time at which it was seen.
    const isSlow = waitingFor.every(({ since }) => since === null)
    if (isSlow) texts.push(`${names} ${isOne ? 'has' : 'have'} not confirmed it yet`)
    else texts.push(`${names} will ${what} when ${isOne ? 'it is' : 'they are'} back`)
  }
  const names = namesText(out, nowMs)
  if (out.length === 1) texts.push(`${names} is out, and will ${what} if it comes back`)
  if (out.length > 1) texts.push(`${names} are out, and will ${what} if they come back`)
  return texts
}

function spaceText({ freesAt }: Removed, { purge, cancel }: How, nowMs: number): string | undefined {
  if (freesAt === null) return purge ? 'its versions are gone, and its space returns now' : undefined
  const isNow = Date.parse(freesAt) <= nowMs
  if (purge && isNow) return 'its versions are gone, and its space returns now'
  const at = localTime(freesAt)
  if (purge) return `its versions end and its space returns on ${at}, unless somebody runs "dfs rm --cancel" before`
  const space = isNow ? 'its space returns now' : `its space returns on ${at}`
  return cancel ? `its versions can be restored, and ${space}` : space
}
