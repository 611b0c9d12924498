import { mkdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Transfer } from '../../contract/transfer.ts'
import type { AnswerOf } from '../../contract/verbs.ts'
import { forEachAtOnce } from '../../flow/at-once.ts'
import { CliError, codeOfAny, isOfOneFile, reasonOf, usage } from '../../terminal/errors.ts'
import { printJson, printLine } from '../../terminal/print.ts'
import { hideProgress, Progress } from '../../terminal/progress.ts'
import { writeOut } from '../../terminal/stdout.ts'
import { formatBytes, formatCount } from '../../terminal/units.ts'
import { type DfsCommand, eachNonEmpty } from '../command.ts'
import { FileFailures } from '../file-failures.ts'
import { kindOf, safeName } from '../local-file.ts'
import { type Fill, type LocalTarget, LocalTargets } from '../local-target.ts'
import { LocalWay } from '../local-way.ts'
import { isUnusable, nameTarget } from '../named-file.ts'
import { noteIncomplete } from '../note-incomplete.ts'
import { orInterrupted } from '../or-interrupted.ts'
import type { Session } from '../session.ts'
import { NoAnswerError } from '../transport.ts'

/** The number of files of a directory that are fetched concurrently. */
const FILES_AT_ONCE = 8
/** The daemon writes files of this size and more by itself. For smaller ones the additional request would cost more. */
const NAMED_BYTES_MIN = 1 << 20

interface Flags {
  force: boolean
  version?: string
}

export const get: DfsCommand = {
  name: 'get',
  summary: 'fetch a file or a directory; - is stdout',
  exits: ['notFound', 'integrity', 'noSpace'],
  examples: [
    ['dfs get /photos', 'fetch a directory into ./photos'],
    ['dfs get /notes.txt -', 'write a file to stdout'],
    ['dfs get /notes.txt --version 3f9a2c1b', 'fetch an earlier version']
  ],
  declare(command) {
    command
      .argument('<path...>', 'files or directories; the last of several is the local target', eachNonEmpty)
      .option('--version <id>', 'fetch this version of a file, which may be removed (see dfs versions)')
      .option('--force', 'replace local files; write into a pipe, a device, or what a link leads to', false)
  },
  async run(session: Session, given: readonly string[], { force, version }: Flags) {
    const targets = new LocalTargets({ isForced: force })
    const [first, target] = given
    if (version !== undefined) {
      if (given.length > 2) throw usage('--version is for one file: give one path')
      return getFile({ session, targets, version }, first as string, target)
    }
    if (given.length <= 2) return getPath(session, first as string, target, targets)
    const folder = given.at(-1) as string
    if ((await kindOf(folder, 'follow')) !== 'directory')
      throw new CliError('not-found', 'no such folder: several paths need one to go into', { about: folder })
    for (const path of given.slice(0, -1)) {
      const name = basename(path)
      if (name === '') throw usage('the root has no name: get it alone')
      await getPath(session, path, join(folder, safeName(name)), targets)
    }
  }
}

async function getPath(
  session: Session,
  given: string,
  target: string | undefined,
  targets: LocalTargets
): Promise<void> {
  const { client } = session
  const { path, kind, size } = await client.call('stat', { path: given })
  if (kind === 'file') return getFile({ session, targets, size }, path, target)
  if (target === '-') throw usage('a directory cannot be written to stdout: name a local folder')
  const name = basename(path)
  await getFolder(session, path, target ?? (name === '' ? '.' : safeName(name)), targets)
}

async function getFile(
  { session, targets, size, version }: Omit<Run, 'progress'> & { size?: number },
  path: string,
  target: string | undefined
): Promise<void> {
  const { client, isJson } = session
  if (target === '-') {
    await writeOut((await client.get(path, { version })).body)
    return
  }
  const name = basename(path)
  const isInto = target !== undefined && (target.endsWith('/') || (await kindOf(target, 'follow')) === 'directory')
  const local = target === undefined ? safeName(name) : isInto ? join(target, safeName(name)) : target
  if ((await kindOf(dirname(local), 'follow')) !== 'directory')
    throw new CliError('not-found', 'no such folder: make it first, or name another target', { about: local })
  await targets.sweep(dirname(local))
  const progress = new Progress('get', isJson, size)
  await orInterrupted(
    session,
    () => 'the file was not fetched whole',
    () => getOne({ session, targets, progress, version }, { path, size }, { local, isNamed: true })
  )
}

/** The objects that all files of one run share. */
interface Run {
  session: Session
  targets: LocalTargets
  progress: Progress
  /** The version to fetch; undefined for the current content. */
  version?: string | undefined
}

async function getFolder(session: Session, path: string, folder: string, targets: LocalTargets): Promise<void> {
  const { client, isJson } = session
  const progress = new Progress('get', isJson, 'files')
  const failures = new FileFailures('fetched', isJson)
  // The user may specify a link to a folder. Below that folder, no links are followed.
  const kind = await kindOf(folder, 'follow')
  if (kind === 'directory') await targets.sweep(folder)
  else if (kind === undefined) await mkdir(folder)
  else throw new CliError('exists', 'what has the name of this folder is not a folder', { about: folder })
  const way = new LocalWay(path, folder, targets)
  await noteIncomplete(session)
  const files = localFiles(client.stream('list', { path, recursive: true }), way, failures)
  let fetched = 0
  const getItem = async ({ item, local }: LocalItem): Promise<void> => {
    try {
      await getOne({ session, targets, progress }, item, { local, isNamed: false })
      fetched++
      progress.addFile()
    } catch (error) {
      const isOfThisFile = error instanceof CliError || isOfOneFile(error)
      if (error instanceof NoAnswerError || isOfDisk(error) || !isOfThisFile) throw error
      failures.add(item.path, error)
    }
  }
  const whatIsDone = (): string =>
    `${formatCount(fetched, 'file')} fetched, each complete; to get them again takes --force`
  await orInterrupted(session, whatIsDone, () => forEachAtOnce(files, FILES_AT_ONCE, getItem))
  failures.end()
}

/** A file in a listing, and its local path. */
interface LocalItem {
  item: AnswerOf<'list'>
  local: string
}

/**
 * Yields the local path of each file in a listing, and creates the folders on the way. Everything below a folder that
 * cannot be created is left out.
 */
async function* localFiles(
  items: AsyncIterable<AnswerOf<'list'>>,
  way: LocalWay,
  failures: FileFailures
): AsyncGenerator<LocalItem> {
  for await (const item of items) {
    try {
      const local = await way.localOf(item)
      if (item.kind === 'file') yield { item, local }
    } catch (error) {
      if (!(error instanceof CliError || isOfOneFile(error))) throw error
      failures.add(item.path, error)
    }
  }
}

/** What to fetch. The size of an earlier version is not known. */
interface Wanted {
  path: string
  size?: number | undefined
}

async function getOne(
  run: Run,
  wanted: Wanted,
  { local, isNamed }: { local: string; isNamed: boolean }
): Promise<void> {
  const { isJson } = run.session
  const place = await run.targets.look(local, { isNamed })
  const { target, size, from } = await fetchOne(run, wanted, place).catch(error => {
    throw isAboutLocal(error) ? new CliError(codeOfAny(error), reasonOf(error), { about: local, cause: error }) : error
  })
  hideProgress()
  if (isJson) printJson({ path: wanted.path, target, size, from: await from() })
  else printLine(`${target}  ${formatBytes(size)}`)
}

/** The next file would fail too. */
function isOfDisk(error: unknown): boolean {
  return ['no-space', 'read-only'].includes(codeOfAny(error))
}

/**
 * A file that is written piece by piece, or by the daemon, has an error that does not say where it was to go, or says the
 * name that it had until it was complete.
 */
function isAboutLocal(error: unknown): boolean {
  return isOfDisk(error) || isOfOneFile(error)
}

async function fetchOne(run: Run, wanted: Wanted, place: LocalTarget): Promise<Gotten> {
  return (await fillOne(run, wanted, place)) ?? receiveOne(run, wanted, place)
}

interface Gotten {
  /** Where it is now. */
  target: string
  size: number
  from: () => Promise<Transfer['from']>
}

/**
 * Lets the daemon write the current content by itself, so that its bytes do not travel through the socket. Returns
 * undefined if the file is not known to be large, if it has changed meanwhile, or if the daemon cannot use the local file.
 */
async function fillOne(
  { session: { client, signal }, targets, progress }: Run,
  { path, size = 0 }: Wanted,
  place: LocalTarget
): Promise<Gotten | undefined> {
  if (place.kind !== 'file' || size < NAMED_BYTES_MIN || !client.canNameFiles) return undefined
  const { etag, ...facts } = await client.facts(path)
  let from: Transfer['from'] = []
  let written = 0
  const onBytes = (bytes: number): void => {
    written += bytes
    progress.add(bytes)
  }
  const body: Fill = async (temp, handle) => {
    from = await client.fill(path, { file: await nameTarget(temp, handle), onBytes }, etag)
  }
  try {
    const target = await targets.write(place, { body, ...facts, signal })
    return { target, size: facts.size, from: async () => from }
  } catch (error) {
    if (!isUnusable(error) && !(error instanceof CliError && error.code === 'changed')) throw error
    progress.add(-written)
    return undefined
  }
}

async function receiveOne(
  { session: { client, signal }, targets, progress, version }: Run,
  { path }: Wanted,
  place: LocalTarget
): Promise<Gotten> {
  const { size, modified, mode, body, close, from } = await client.get(path, { version })
  try {
    const target = await targets.write(place, { body: progress.count(body), modified, mode, signal })
    return { target, size, from }
  } finally {
    close()
  }
}
