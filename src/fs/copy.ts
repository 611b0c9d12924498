import { IsADirectoryError } from '../catalog/errors.ts'
import { cidOf } from '../catalog/projection.ts'
import type { DirectoryNode, FileNode } from '../catalog/tree-node.ts'
import { formatPath, type Path } from '../format/path.ts'
import { decodeReplicas } from '../format/replicas.ts'
import { DfsError, type ErrorCode, InvalidInputError } from '../util/errors.ts'
import { forEachUntilFailure } from '../util/for-each.ts'
import { reporting } from '../util/reporting.ts'
import { REPORT_MS, TREE_AT_ONCE } from './constants.ts'
import { type FsContext, resolvePutOptions } from './context.ts'
import { readableBody } from './get.ts'
import { ItemFailures } from './item-failures.ts'
import { makeDirectory } from './mkdir.ts'
import { putCopy } from './put-copy.ts'
import { resolveTarget } from './resolve.ts'
import type { CopyResult, PutOptions } from './types.ts'

type CopyOptions = Pick<PutOptions, 'noClobber' | 'signal'>

interface ReportedCopyOptions extends CopyOptions {
  /** Called when more has been copied, with all that has been so far. */
  onProgress?: ((soFar: CopyResult) => void) | undefined
}

interface FileToCopy {
  file: FileNode
  target: Path
}

/**
 * Copies a file or a directory: links the same blocks at another path, and keeps them as a put keeps its blocks. If one
 * file of a directory cannot be copied, for example because its record is damaged, the others are copied nevertheless.
 * Everything that was copied before a failure or an abort stays. A failure then throws a `PartlyDoneError`.
 */
export async function copyPath(
  fs: FsContext,
  from: Path,
  to: Path,
  options: ReportedCopyOptions = {}
): Promise<CopyResult> {
  const { signal } = options
  const { node, target } = await resolveTarget(fs, from, to, signal)
  if (formatPath(target).startsWith(`${formatPath(node.path)}/`))
    throw new InvalidInputError('a directory cannot be copied into itself')
  signal?.throwIfAborted()
  const resultOf = (copied: number): CopyResult => ({ from: formatPath(from), path: formatPath(target), copied })
  if (node.kind === 'directory') {
    const copy = new TreeCopy(fs, options, copied => options.onProgress?.(resultOf(copied)))
    return resultOf(await copy.run(node, target))
  }
  await copyFile(fs, { file: node, target }, options)
  return resultOf(1)
}

/**
 * Copies like `copyPath`. For a directory it yields from time to time what has been copied so far. The last item is the
 * result. A caller that takes no more ends the copy.
 */
export function copyingPath(
  fs: FsContext,
  from: Path,
  to: Path,
  { signal: given, ...options }: CopyOptions = {}
): AsyncGenerator<CopyResult> {
  const reports = { clock: fs.clock, everyMs: REPORT_MS, signal: given }
  return reporting<CopyResult>(reports, (onProgress, signal) =>
    copyPath(fs, from, to, { ...options, signal, onProgress })
  )
}

/** One copy of a directory and everything below it. */
class TreeCopy {
  readonly #fs: FsContext
  readonly #options: CopyOptions
  readonly #onCopied: (copied: number) => void
  /** The number of files and directories that the copy now has. */
  #copied = 0
  /** Of single files, and of directories with all that is in them. */
  readonly #failures = new ItemFailures()

  constructor(fs: FsContext, options: CopyOptions, onCopied: (copied: number) => void) {
    this.#fs = fs
    this.#options = options
    this.#onCopied = onCopied
  }

  /** Returns the number of files and directories that it has copied. */
  async run(from: DirectoryNode, target: Path): Promise<number> {
    const { signal } = this.#options
    try {
      await forEachUntilFailure(this.#files(from, target), { atOnce: TREE_AT_ONCE, signal }, (file, signal) =>
        this.#unlessOfOneItem({ from: file.file.path, to: file.target }, () =>
          copyFile(this.#fs, file, { ...this.#options, signal })
        )
      )
    } catch (error) {
      throw this.#failures.ended(error, this.#copied, this.#copiedText)
    }
    if (this.#failures.count > 0) throw this.#failures.leftOut('copied', this.#copied, this.#copiedText)
    return this.#copied
  }

  get #copiedText(): string {
    return `${this.#copied} of its files and directories have been copied, and stay`
  }

  /** Makes the directories of the copy, and yields the files to put into each. */
  async *#files(directory: DirectoryNode, target: Path): AsyncGenerator<FileToCopy> {
    const { signal } = this.#options
    const item = { from: directory.path, to: target }
    if (!(await this.#unlessOfOneItem(item, () => makeDirectory(this.#fs, target, { signal })))) return
    for await (const child of this.#fs.tree.list(directory)) {
      signal?.throwIfAborted()
      const below = [...target, child.path.at(-1) as string]
      if (child.kind === 'directory') yield* this.#files(child, below)
      else yield { file: child, target: below }
    }
  }

  /**
   * Runs `work`, which copies one item, and counts it. Returns false if it failed for a reason that need not affect other
   * items.
   */
  async #unlessOfOneItem({ from, to }: { from: Path; to: Path }, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work()
      this.#copied++
      this.#onCopied(this.#copied)
      return true
    } catch (error) {
      this.#failures.note(error, error instanceof DfsError && OF_TARGET.has(error.code) ? to : from)
      return false
    }
  }
}

/** The errors that are about what is at the target. All others are about the source. */
const OF_TARGET: ReadonlySet<ErrorCode> = new Set(['exists', 'changed', 'is-a-directory', 'not-a-directory'])

/** Copies one file. */
async function copyFile(fs: FsContext, { file, target }: FileToCopy, options: CopyOptions): Promise<void> {
  const there = await fs.tree.resolve(target)
  if (there?.kind === 'directory') throw new IsADirectoryError('a directory has this name already')
  const { size, mtime, mode, type, key, content } = readableBody(file)
  const named = { root: file.record.root as Uint8Array, rootEpoch: file.record.rootEpoch as Uint8Array }
  const copied = { ...named, size, mtime, mode, type, key, content }
  const resolved = { ...resolvePutOptions(fs, options), copies: decodeReplicas(file.shown.replicas) }
  await putCopy(fs, { path: target, content: copied, root: cidOf(file.record) }, resolved)
}
