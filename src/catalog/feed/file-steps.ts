import { formatPath, isSamePath, type Path } from '../../format/path.ts'
import { leaves, type StepsContext } from './directory-steps.ts'
import { isMoved, type Looked, type Spot, spotPath } from './look.ts'
import type { Cause, Step } from './steps.ts'

export interface FileStepsContext extends StepsContext {
  /** The directories that the batch changes. Files of the same name show as conflicts while they have it. */
  directories: readonly Looked[]
  /** The steps that are told before those of the files. */
  told: readonly Step[]
}

/** A file that a batch changes. A spot is undefined if the file does not show there, or not alone. */
interface Changed {
  file: Looked
  /** The path that the file leaves, as it is once the steps of the directories have been told. */
  from: Path | undefined
  path: Path | undefined
  leaves: boolean
}

/**
 * Returns the steps for the files that a batch changes. First files leave their paths, then others appear, so that a
 * path which is freed and used again in one batch ends right.
 */
export async function fileSteps(looked: readonly Looked[], context: FileStepsContext): Promise<Step[]> {
  const names = new Map<string, Step>()
  const changed: Changed[] = []
  for (const file of looked) changed.push(await changedOf(file, names, context))
  for (const directory of context.directories) await changedOf(directory, names, context)
  const taken = new Set<string>()
  for (const step of context.told) if (step.step === 'shown' || step.step === 'moved') taken.add(formatPath(step.path))
  for (const { path } of changed) if (path !== undefined) taken.add(formatPath(path))
  const [removed, moved, shown]: [Step[], Step[], Step[]] = [[], [], []]
  for (const { file, from, path, leaves } of changed) {
    const { entry, was, facts } = file
    const [kind, cause] = ['file' as const, facts?.cause]
    const isFreed = leaves && from !== undefined && !taken.has(formatPath(from))
    if (isFreed && path !== undefined) moved.push({ step: 'moved', kind, entries: [entry], from, path, cause })
    else {
      if (isFreed) removed.push({ step: 'removed', kind, path: from, cause })
      const isNew = leaves || spotPath(was) === undefined
      if (path !== undefined) shown.push({ step: 'shown', kind, entry, path, isNew, hasBelow: false, cause })
    }
  }
  return [...removed, ...moved, ...shown, ...names.values()]
}

async function changedOf(file: Looked, names: Map<string, Step>, context: FileStepsContext): Promise<Changed> {
  const { was, is, facts } = file
  const leaves = isMoved(file)
  const alone = async (spot: Spot | undefined): Promise<Spot | undefined> => {
    if (spot === undefined) return undefined
    const step = await nameStep(spot, facts?.hasVersions === true, facts?.cause, context)
    if (step === undefined) return spot
    const key = formatPath([...(step.step === 'name' ? step.directory : step.path), spot.name])
    if (!names.has(key)) names.set(key, step)
    return undefined
  }
  const [from, to] = [leaves ? await alone(was) : undefined, await alone(is)]
  const place = from === undefined ? undefined : await context.look.after.of(from.parent)
  return { file, from: place && from && spotPath({ place, name: from.name }), path: spotPath(to), leaves }
}

/** Returns the step for a name that several files or versions share; undefined if the file has its name alone. */
async function nameStep(
  { parent, name, isNameShared, isPlaceShared }: Spot,
  hasVersions: boolean,
  cause: Cause | undefined,
  { look, view, directories, told }: FileStepsContext
): Promise<Step | undefined> {
  if (!isNameShared && !hasVersions && !isPlaceShared) return undefined
  const ids = await view.idsOf(parent, look.before)
  // Only the directories before the batch are known here. It may add others that show as one with the parent.
  const isOnly = ids.length === 1 && directories.length === 0
  if (!isNameShared && !hasVersions && isOnly) return undefined
  const place = await look.after.of(parent)
  // If the directory shows no more, that has been told.
  if (typeof place === 'string') return undefined
  const { path } = place
  if (await view.isLarge(ids, name)) return { step: 'reset', path }
  const before = (await view.files(ids, name)).map(node => node.path.at(-1) as string)
  const stays = (await view.group(ids, name)).directories.some(({ entry }) => !leaves(entry, directories))
  const isDirectory = stays || told.some(one => appearsAt(one, [...path, name]))
  return { step: 'name', parent, directory: path, name, isDirectory, before, cause }
}

function appearsAt(step: Step, path: Path): boolean {
  return (step.step === 'shown' || step.step === 'moved') && isSamePath(path, step.path)
}
