import { slotsOfSmall } from '../contract/bundle-head.ts'
import { SMALL_FILE_BYTES_MAX } from '../contract/constants.ts'
import type { Json } from '../contract/json.ts'
import { forEachAtOnce } from '../flow/at-once.ts'
import type { PutResult } from '../index.ts'
import { CliError, isOfOneFile, usage } from '../terminal/errors.ts'
import { note, printJson, printLine } from '../terminal/print.ts'
import { hideProgress, Progress } from '../terminal/progress.ts'
import { formatBytes } from '../terminal/units.ts'
import { Limiter } from '../util/limiter.ts'
import type { Bundle } from './bundle.ts'
import { copiesText, outHint } from './copies-text.ts'
import { FileFailures } from './file-failures.ts'
import type { IgnoreRules } from './ignore-rules.ts'
import { type LocalItem, type Skipped, walkLocal } from './local-tree.ts'
import { orInterrupted } from './or-interrupted.ts'
import type { PutRules } from './put-fields.ts'
import { type PutItem, putFile } from './put-file.ts'
import type { Source } from './put-sources.ts'
import { PutTally } from './put-tally.ts'
import { RemoteFolders, type RemoteItem } from './remote-folders.ts'
import type { Session } from './session.ts'

/**
 * The number of files that are put concurrently. Putting a small file is mostly waiting for disks and members, so several
 * puts run in parallel. With 256 the daemon has files to seal while earlier ones are on their way to other members.
 */
const FILES_AT_ONCE = 256
/** How many of these files may be larger than `LARGE_BYTES`. A few large files use the whole bandwidth. */
const LARGE_AT_ONCE = 2
const LARGE_BYTES = 4 << 20
/**
 * How many of these files may be of a size between small and large; each of them needs its own request. One counts once
 * for each `MEDIUM_SLOT_BYTES`: eight photos of 3 MiB are put as fast as 32, and in a third of the memory.
 */
const MEDIUM_AT_ONCE = 32
const MEDIUM_SLOT_BYTES = 768 << 10

export interface PutRunOptions {
  session: Session
  rules: PutRules
  ignoreRules: IgnoreRules
  /** Only say what would be stored. */
  isDryRun: boolean
  /** Print a line for each file. */
  isVerbose: boolean
}

/** An item of the walk, and what the network has at its path. */
interface Found {
  item: LocalItem
  /** The name by which messages call it: the source as the user gave it, and the way from there. */
  shown: string
  target: string
  there: RemoteItem | undefined
}

/** Puts many files: whole folders, and files that the user named. A file that cannot be put does not stop the others. */
export class PutRun {
  readonly #options: PutRunOptions
  readonly #progress: Progress
  readonly #failures: FileFailures
  readonly #tally: PutTally
  readonly #bundle: Bundle
  readonly #large = new Limiter(LARGE_AT_ONCE)
  readonly #medium = new Limiter(MEDIUM_AT_ONCE)
  /** The warnings that were printed, and the peer ids of the members that they were about. */
  readonly #warned = new Set<string>()

  constructor(options: PutRunOptions) {
    const { session, rules, isDryRun } = options
    this.#options = options
    this.#progress = new Progress('put', session.isJson, 'files')
    this.#failures = new FileFailures('put', session.isJson)
    this.#tally = new PutTally(isDryRun)
    this.#bundle = session.client.bundle(rules, session.signal)
  }

  /** Notes a source that cannot be put. */
  fail(shown: string, error: unknown): void {
    this.#tally.failed++
    this.#failures.add(shown, error)
  }

  /**
   * Puts the contents of a folder at `root`, or with `isInto` all sources into it under their own names. Throws a
   * `CliError` at the end if any file could not be put, and at once if no later file could be put either.
   */
  async put(sources: readonly Source[], root: string, isInto: boolean): Promise<void> {
    const { session, isDryRun } = this.#options
    const { client, signal, isJson } = session
    assertDifferentNames(sources, isInto)
    const counting = new AbortController()
    if (this.#progress.isShown) void this.#count(sources, counting.signal)
    const whatIsDone = (): string => `${this.#tally.text}, and perhaps more; the same put again goes on from there`
    try {
      await orInterrupted(session, whatIsDone, async () => {
        if (root !== '' && !isDryRun) await client.call('mkdir', { path: root })
        const remote = new RemoteFolders(client, root, signal)
        await remote.begin()
        const found = this.#find(sources, root, isInto, remote)
        await forEachAtOnce(found, FILES_AT_ONCE, item => this.#putItem(item), slotsOf)
      })
    } finally {
      counting.abort()
      await this.#bundle.end()
      hideProgress()
    }
    if (isJson) process.stderr.write(`${JSON.stringify({ event: 'summary', ...this.#tally.fields })}\n`)
    else printLine(this.#tally.text)
    this.#failures.end()
  }

  async *#find(
    sources: readonly Source[],
    root: string,
    isInto: boolean,
    remote: RemoteFolders
  ): AsyncGenerator<Found> {
    const found = async (item: LocalItem, shown: string): Promise<Found> => {
      const there = await remote.find(item.parts, item.kind)
      return { item, shown, target: `${root}/${item.parts.join('/')}`, there }
    }
    for (const { given, name, ...source } of sources) {
      const above = isInto && name !== '' ? [name] : []
      if (above.length > 0) yield await found({ ...source, parts: above }, given)
      if (source.kind === 'file') continue
      const shownAt = (parts: readonly string[]): string => [given === '/' ? '' : given, ...parts].join('/') || '/'
      const items = walkLocal(source.local, {
        rules: this.#options.ignoreRules,
        onSkip: (parts, why) => this.#skip(shownAt(parts), why),
        onFault: (parts, error) => this.fail(shownAt(parts), error)
      })
      for await (const item of items)
        yield await found({ ...item, parts: [...above, ...item.parts] }, shownAt(item.parts))
    }
  }

  async #putItem({ item, shown, target, there }: Found): Promise<void> {
    const { session, isDryRun } = this.#options
    const { client, signal } = session
    signal.throwIfAborted()
    try {
      if (item.kind === 'directory') {
        if (there?.kind !== 'directory' && !isDryRun) await client.call('mkdir', { path: target })
        return
      }
      if (there !== undefined && this.#isUnchanged(item, there)) {
        this.#tally.unchanged++
        this.#progress.skipFile(item.size)
        if (this.#options.isVerbose) this.#say(`${target}  unchanged`)
        return
      }
      if (isDryRun) this.#wouldPut(item, target)
      else await this.#putFile({ ...item, shown, target })
    } catch (error) {
      if (!isOfThisFile(error)) throw error
      this.fail(shown, error)
    }
  }

  async #putFile(item: PutItem): Promise<void> {
    const { session, rules, isVerbose } = this.#options
    const { size } = item
    const deps = { session, rules, progress: this.#progress, bundle: this.#bundle }
    const work = (): Promise<Json<PutResult>> => putFile(deps, item)
    const result = await (size > LARGE_BYTES
      ? this.#large.run(work)
      : size > SMALL_FILE_BYTES_MAX
        ? this.#medium.run(work, { slots: Math.ceil(size / MEDIUM_SLOT_BYTES) })
        : work())
    this.#progress.addFile()
    this.#tally.note(result)
    if (session.isJson || isVerbose) showPut(session, result, this.#warned)
    else noteWarnings(result, this.#warned)
  }

  #wouldPut({ size }: LocalItem, path: string): void {
    this.#tally.stored++
    this.#tally.bytes += size
    if (this.#options.session.isJson) printJson({ action: 'put', path, size })
    else printLine(`${path}  ${formatBytes(size)}`)
  }

  #isUnchanged({ size, modified, mode }: LocalItem, there: RemoteItem): boolean {
    const { replicas, ack } = this.#options.rules
    // A user who asks for copies wants each file to have them.
    if (replicas !== undefined || ack !== undefined) return false
    if (there.kind !== 'file' || there.size !== size || there.mode !== mode) return false
    return Date.parse(there.modified) === modified.getTime()
  }

  #skip(shown: string, why: Skipped): void {
    this.#tally.skip(why)
    // This is always said, because somebody may rely on this folder as a backup of the node's keys.
    if (why === 'data-directory') note(`${shown}: skipped, it is the data directory of a dfs-node`)
    else if (this.#options.isVerbose) this.#say(`${shown}  skipped: ${why}`)
  }

  #say(text: string): void {
    if (!this.#options.session.isJson) printLine(text)
  }

  /** Looks at everything once, ahead of the put, so that the progress can say how much is left. */
  async #count(sources: readonly Source[], signal: AbortSignal): Promise<void> {
    let files = 0
    let bytes = 0
    const ignored = (): void => {}
    for (const source of sources) {
      if (source.kind === 'file') {
        files++
        bytes += source.size
        continue
      }
      const options = { rules: this.#options.ignoreRules, onSkip: ignored, onFault: ignored }
      for await (const { kind, size } of walkLocal(source.local, options)) {
        if (signal.aborted) return
        if (kind === 'file') files++
        if (kind === 'file') bytes += size
      }
    }
    this.#progress.setTotal({ files, bytes })
  }
}

/** The bytes of larger files are not in this process, but in the daemon, which reads them piece by piece. */
function slotsOf({ item }: Found): number {
  return item.kind === 'file' && item.size <= SMALL_FILE_BYTES_MAX ? slotsOfSmall(item.size) : 1
}

/** Prints what has become of a file. `warned` are the warnings that need no repetition. */
export function showPut(
  { isJson }: Pick<Session, 'isJson'>,
  result: Json<PutResult>,
  warned: Set<string> = new Set()
): void {
  hideProgress()
  const { path, size, root, version, reached, confirmed, wanted, owed, warnings } = result
  if (isJson) printJson({ path, size, root, version, reached, confirmed, wanted, owed, warnings })
  else {
    printLine(`${path}  ${formatBytes(size)}  ${copiesText(result, Date.now())}`)
    noteWarnings(result, warned)
  }
}

/**
 * Prints why members do not accept what is stored here, and what helps if one that is waited for will not come back. It
 * says what is new: of each member once.
 */
function noteWarnings({ warnings, owed }: Pick<Json<PutResult>, 'warnings' | 'owed'>, warned: Set<string>): void {
  const hint = outHint(
    owed.waitingFor.filter(({ peerId }) => !warned.has(peerId)),
    Date.now()
  )
  const lines = [...warnings.map(warning => `warning: ${warning}`), ...(hint === undefined ? [] : [hint])]
  for (const line of lines) if (!warned.has(line)) note(line)
  for (const line of lines) warned.add(line)
  if (hint !== undefined) for (const { peerId } of owed.waitingFor) warned.add(peerId)
}

/** Throws a usage error if two sources would get the same path. */
function assertDifferentNames(sources: readonly Source[], isInto: boolean): void {
  const names = new Map<string, string>()
  for (const { name, given } of isInto ? sources : []) {
    const other = names.get(name.normalize('NFC'))
    if (other !== undefined) throw usage(`${given}: ${other} has the same name, and both would go to one path`)
    names.set(name.normalize('NFC'), given)
  }
}

// A name that is not allowed, or a file that already exists, concerns only this file. Other failures, such as a full
// disk, would make every later put fail too.
function isOfThisFile(error: unknown): boolean {
  if (!(error instanceof CliError)) return isOfOneFile(error)
  return ['invalid', 'exists', 'changed', 'is-a-directory', 'not-a-directory', 'damaged'].includes(error.code)
}
