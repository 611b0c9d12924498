import { formatPath } from '../../format/path.ts'
import { TAG_DIGITS_MORE } from '../constants.ts'
import { substitutesIn } from '../names.ts'
import type { StepsContext } from './directory-steps.ts'
import { isMoved, type Looked, type Spot } from './look.ts'
import type { Step } from './steps.ts'

/**
 * Returns the resets for conflicts that a batch renames although it does not change them: an entry whose own name is
 * that of a conflict comes to their directory, or leaves it.
 */
export async function renamedConflicts(looked: readonly Looked[], context: StepsContext): Promise<Step[]> {
  const resets = new Map<string, Step>()
  for (const one of looked) {
    const { was, is } = one
    if (was !== undefined && !isMoved(one)) continue
    for (const spot of [was, is]) {
      if (spot === undefined || !(await mayBeOfConflict(spot, context))) continue
      const place = await context.look.after.of(spot.parent)
      if (typeof place !== 'string') resets.set(formatPath(place.path), { step: 'reset', path: place.path })
    }
  }
  return [...resets.values()]
}

/** Returns true if a name may be that of a conflict in its directory. */
async function mayBeOfConflict({ name, parent }: Spot, { look, view }: StepsContext): Promise<boolean> {
  const substitutes = substitutesIn(name)
  if (substitutes.length === 0) return false
  // With a whole id it may stand for an entry of any name.
  if (substitutes.some(({ digits }) => digits.length > TAG_DIGITS_MORE)) return true
  const ids = await view.idsOf(parent, look.before)
  for (const { base } of substitutes) {
    const { directories, files } = await view.group(ids, base)
    if (directories.length + files.length > 0) return true
  }
  return false
}
