import type { IndexDb } from '../../disk/index-db.ts'
import type { Path } from '../../format/path.ts'
import type { Clock } from '../../util/clock.ts'
import type { Names } from '../names.ts'
import type { DirectoryNode, FileNode } from '../tree-node.ts'
import type { NameView } from './name-view.ts'
import { indexedTree, Paths } from './paths.ts'
import type { Cause, Kind, Step } from './steps.ts'

/** A change of what shows at a path. Nodes are as they are now, under the path that they had then. */
export type Told =
  | { change: 'removed'; kind: Kind; path: Path; cause: Cause | undefined }
  | { change: 'moved'; from: Path; node: FileNode | DirectoryNode; cause: Cause | undefined }
  | {
      change: 'created' | 'changed' | 'conflict'
      node: FileNode | DirectoryNode
      /** True for a directory if there may be entries below it that did not show before either. */
      hasBelow: boolean
      cause: Cause | undefined
    }
  /** What shows at and below this path has to be listed again. */
  | { change: 'reset'; path: Path }

export interface TellerOptions {
  index: IndexDb
  names: Names
  view: NameView
  clock: Clock
}

/** Turns the steps of the feed into what a watcher is told, with what the files contain now. */
export class Teller {
  readonly #options: TellerOptions

  constructor(options: TellerOptions) {
    this.#options = options
  }

  /** Yields what a step tells. Skips a file that is gone meanwhile, since a later step removes it. */
  async *tell(step: Step): AsyncGenerator<Told> {
    if (step.step === 'reset') yield { change: 'reset', path: step.path }
    else if (step.step === 'name') yield* this.#name(step)
    else if (step.step === 'removed') yield { change: 'removed', kind: step.kind, path: step.path, cause: step.cause }
    else if (step.kind === 'directory') yield directoryTold(step)
    else yield* this.#file(step)
  }

  async *#file(step: Extract<Step, { step: 'moved' | 'shown' }>): AsyncGenerator<Told> {
    const { path, cause } = step
    const [entry] = idsIn(step)
    const found = await this.#options.view.file(entry as Uint8Array)
    if (found === undefined) {
      if (step.step === 'moved') yield { change: 'removed', kind: 'file', path: step.from, cause }
      return
    }
    const node = { ...found, path }
    if (step.step === 'moved') yield { change: 'moved', from: step.from, node, cause }
    else {
      const change = node.isConflict ? 'conflict' : step.isNew ? 'created' : 'changed'
      yield { change, node, hasBelow: false, cause }
    }
  }

  async *#name(step: Extract<Step, { step: 'name' }>): AsyncGenerator<Told> {
    const { parent, directory, name, before, cause } = step
    const { index, names, view, clock } = this.#options
    const paths = new Paths({ index, names, tree: indexedTree(index), nowMs: clock.now() })
    const ids = await view.idsOf(parent, paths)
    if (await view.isLarge(ids, name)) {
      yield { change: 'reset', path: directory }
      return
    }
    // If a directory had the name then, a file shows under it only if that directory has left since. A later step tells
    // this. Told now, it would be taken for the end of the directory.
    const files = (await view.files(ids, name)).filter(file => !(step.isDirectory && nameOf(file) === name))
    const now = new Set(files.map(nameOf))
    if (step.isDirectory) now.add(name)
    for (const gone of before)
      if (!now.has(gone)) yield { change: 'removed', kind: 'file', path: [...directory, gone], cause }
    for (const file of files) {
      const own = nameOf(file)
      const change = file.isConflict ? 'conflict' : before.includes(own) ? 'changed' : 'created'
      yield { change, node: { ...file, path: [...directory, own] }, hasBelow: false, cause }
    }
  }
}

function directoryTold(step: Extract<Step, { step: 'moved' | 'shown' }>): Told {
  const { path, cause } = step
  const node: DirectoryNode = { kind: 'directory', path, nameHash: undefined, ids: idsIn(step), isConflict: false }
  if (step.step === 'moved') return { change: 'moved', from: step.from, node, cause }
  return { change: step.isNew ? 'created' : 'changed', node, hasBelow: step.hasBelow, cause }
}

function nameOf({ path }: FileNode): string {
  return path.at(-1) as string
}

function idsIn(step: Extract<Step, { step: 'moved' | 'shown' }>): Uint8Array[] {
  return step.step === 'moved' ? [...step.entries] : [step.entry]
}
