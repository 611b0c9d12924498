import { isBelow, isSamePath, type Path } from '../../format/path.ts'
import { equalBytes } from '../../util/bytes.ts'
import { isMoved, type Look, type Looked, type Spot, spotPath } from './look.ts'
import type { NameView } from './name-view.ts'
import type { Step } from './steps.ts'

export interface StepsContext {
  look: Look
  view: NameView
}

/** A directory that a batch changes, with its paths before and after; undefined where it does not show. */
interface Changed extends Looked {
  from: Path | undefined
  path: Path | undefined
  leaves: boolean
  /** True if another directory shows at the path too, so that the two show as one. */
  isFromShared: boolean
  isPathShared: boolean
}

/** A directory whose move is told as one step. */
type Move = Pick<Changed, 'facts'> & { entries: Uint8Array[]; from: Path; path: Path }
type Shown = Extract<Step, { step: 'shown' }>
type Removed = Extract<Step, { step: 'removed' }>

/**
 * Returns the steps for the directories that a batch changes: first those that leave a path, then those that appear at
 * one. `resets` have to be told last.
 *
 * If a batch moves one directory, that is one step, whatever is below it. If it moves several, or moves one and removes
 * another, nobody knows any more in which order that happened. Then each of them is removed and appears again.
 */
export async function directorySteps(
  looked: readonly Looked[],
  context: StepsContext
): Promise<{ steps: Step[]; resets: Step[] }> {
  const changed: Changed[] = []
  for (const one of looked) changed.push(await changedOf(one, looked, context))
  const move = onlyMove(changed.filter(({ leaves }) => leaves))
  const [removed, shown, resets]: [Removed[], Shown[], Step[]] = [[], [], []]
  for (const one of changed) {
    const { entry, from, path, leaves, isFromShared, facts } = one
    if (leaves && move !== undefined) continue
    if (leaves && from !== undefined) {
      // A reset even if nothing was below it: earlier steps about names in it are told by what it shares a path with now.
      if (isFromShared) resets.push({ step: 'reset', path: from })
      else removed.push({ step: 'removed', kind: 'directory', path: from, cause: facts?.cause })
    }
    if (path === undefined) continue
    const hasBelow = leaves || one.hasBelow
    const isPathShared = one.isPathShared || changed.some(other => other !== one && isSamePath(path, other.path))
    const isNew = (leaves || from === undefined) && !one.isPathShared
    if (isPathShared && hasBelow) resets.push({ step: 'reset', path })
    else shown.push({ step: 'shown', kind: 'directory', entry, path, isNew, hasBelow, cause: facts?.cause })
  }
  removed.sort((a, b) => b.path.length - a.path.length)
  shown.sort((a, b) => a.path.length - b.path.length)
  if (move === undefined) return { steps: [...removed, ...shown], resets }
  const { entries, from, path, facts } = move
  const moved: Step = { step: 'moved', kind: 'directory', entries, from, path, cause: facts?.cause }
  // The directories on the way to the new path may have been made for the move.
  const [above, others] = [true, false].map(isAbove => shown.filter(step => isBelow(path, step.path) === isAbove))
  return { steps: [...(above as Shown[]), moved, ...(others as Shown[])], resets }
}

/** Returns the one move that a batch makes; undefined if it makes none, or if it cannot be told as one step. */
function onlyMove(leaving: readonly Changed[]): Move | undefined {
  const [first] = leaving
  if (first?.from === undefined || first.path === undefined) return undefined
  const { from, path } = first
  // Directories that show as one move together.
  const isOne = leaving.every(
    one =>
      one.from !== undefined &&
      isSamePath(from, one.from) &&
      isSamePath(path, one.path) &&
      !one.isFromShared &&
      !one.isPathShared
  )
  return !isOne || isBelow(path, from) || isBelow(from, path)
    ? undefined
    : { entries: leaving.map(({ entry }) => entry), from, path, facts: first.facts }
}

async function changedOf(one: Looked, looked: readonly Looked[], context: StepsContext): Promise<Changed> {
  const { was, is } = one
  const leaves = isMoved(one)
  return {
    ...one,
    leaves,
    from: spotPath(was),
    path: spotPath(is),
    isFromShared: leaves && (await hasOthers(was, one, looked, context)),
    isPathShared: await hasOthers(is, one, looked, context)
  }
}

/** Returns true if another directory, which the batch does not take away from there, shows at a spot too. */
async function hasOthers(
  spot: Spot | undefined,
  { entry: own }: Looked,
  looked: readonly Looked[],
  { look, view }: StepsContext
): Promise<boolean> {
  if (spot === undefined || !(spot.isNameShared || spot.isPlaceShared)) return false
  const ids = await view.idsOf(spot.parent, look.before)
  const { directories } = await view.group(ids, spot.name)
  return directories.some(({ entry }) => !equalBytes(entry, own) && !leaves(entry, looked))
}

/** Returns true if a batch takes an entry away from where it shows. */
export function leaves(entry: Uint8Array, looked: readonly Looked[]): boolean {
  return looked.some(one => equalBytes(one.entry, entry) && isMoved(one))
}
