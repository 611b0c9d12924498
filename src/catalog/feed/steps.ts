import { decodeOwn, encodeCanonical } from '../../format/canonical.ts'
import { ENTRY_ID_BYTES } from '../../format/entry.ts'
import type { Path } from '../../format/path.ts'
import { concatBytes } from '../../util/bytes.ts'

/** Who caused a change: the last record that the batch has of the entry, and the public key of its author. */
export interface Cause {
  record: Uint8Array
  author: Uint8Array
}

export type Kind = 'file' | 'directory'

/**
 * The changes that a batch of the index makes to the visible tree, as steps to be told one after another. Paths are
 * those that the entry and the directories above it had when the batch was written, so that all steps, told in order,
 * lead from the tree before to the tree after.
 */
export type Step =
  /** Nothing shows at this path any more, nor below it. */
  | { step: 'removed'; kind: Kind; path: Path; cause: Cause | undefined }
  /** An entry shows under another path, with everything below it. Directories that show as one move together. */
  | { step: 'moved'; kind: Kind; entries: readonly Uint8Array[]; from: Path; path: Path; cause: Cause | undefined }
  /**
   * An entry shows at a path. `isNew` if it did not before; `hasBelow` if there may be entries below it that did not
   * show before either.
   */
  | {
      step: 'shown'
      kind: Kind
      entry: Uint8Array
      path: Path
      isNew: boolean
      hasBelow: boolean
      cause: Cause | undefined
    }
  /**
   * Several entries or versions have, or had, one name in a directory, so that conflicts show beside it. `before` are
   * the names under which files showed.
   */
  | {
      step: 'name'
      parent: Uint8Array
      directory: Path
      name: string
      /** True if a directory had the name after the batch. No file showed under the name itself then. */
      isDirectory: boolean
      before: readonly string[]
      cause: Cause | undefined
    }
  /** Whatever shows at and below this path may have changed. */
  | { step: 'reset'; path: Path }

const STEPS = ['removed', 'moved', 'shown', 'name', 'reset'] as const
const NEW = 1
const HAS_BELOW = 2
const IS_DIRECTORY = 4

type CauseFields = [record: Uint8Array, author: Uint8Array] | null
type Fields = [number, number, Uint8Array | null, string[], string[], string | null, CauseFields]

/** The rows of a batch, and when its last record reached this member, in ms since the Unix epoch. */
export interface Steps {
  atMs: number
  steps: readonly Step[]
}

export function encodeSteps({ atMs, steps }: Steps): Uint8Array {
  return encodeCanonical([atMs, steps.map(encodeStep)])
}

export function decodeSteps(bytes: Uint8Array): Steps {
  const [atMs, steps] = decodeOwn(bytes) as [number, Fields[]]
  return { atMs, steps: steps.map(decodeStep) }
}

function encodeStep(step: Step): Fields {
  const number = STEPS.indexOf(step.step)
  if (step.step === 'reset') return [number, 0, null, [...step.path], [], null, null]
  const cause: CauseFields = step.cause === undefined ? null : [step.cause.record, step.cause.author]
  if (step.step === 'name')
    return [
      number,
      step.isDirectory ? IS_DIRECTORY : 0,
      step.parent,
      [...step.directory],
      [...step.before],
      step.name,
      cause
    ]
  const flags = step.step === 'shown' ? (step.isNew ? NEW : 0) | (step.hasBelow ? HAS_BELOW : 0) : 0
  const entry = step.step === 'removed' ? null : step.step === 'moved' ? concatBytes(...step.entries) : step.entry
  return [number, flags, entry, [...step.path], step.step === 'moved' ? [...step.from] : [], letterOf(step.kind), cause]
}

function decodeStep([number, flags, id, path, others, text, causeFields]: Fields): Step {
  const step = STEPS[number] as Step['step']
  if (step === 'reset') return { step, path }
  const cause = causeFields === null ? undefined : { record: causeFields[0], author: causeFields[1] }
  const entry = id as Uint8Array
  if (step === 'name') {
    const isDirectory = (flags & IS_DIRECTORY) !== 0
    return { step, parent: entry, directory: path, name: text as string, isDirectory, before: others, cause }
  }
  const kind: Kind = text === 'd' ? 'directory' : 'file'
  if (step === 'removed') return { step, kind, path, cause }
  if (step === 'moved') return { step, kind, entries: entriesIn(entry), from: others, path, cause }
  return { step, kind, entry, path, isNew: (flags & NEW) !== 0, hasBelow: (flags & HAS_BELOW) !== 0, cause }
}

function letterOf(kind: Kind): string {
  return kind === 'directory' ? 'd' : 'f'
}

function entriesIn(bytes: Uint8Array): Uint8Array[] {
  const count = bytes.byteLength / ENTRY_ID_BYTES
  return Array.from({ length: count }, (_, i) => bytes.subarray(i * ENTRY_ID_BYTES, (i + 1) * ENTRY_ID_BYTES))
}
