import { realpath, stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { SMALL_FILE_BYTES_MAX } from '../../contract/constants.ts'
import type { Json } from '../../contract/json.ts'
import { forEachAtOnce, Slots } from '../../flow/at-once.ts'
import type { PutResult } from '../../index.ts'
import { CliError, isOfOneFile, usage } from '../../terminal/errors.ts'
import { printJson, printLine } from '../../terminal/print.ts'
import { hideProgress, Progress } from '../../terminal/progress.ts'
import { formatBytes, parseCopies } from '../../terminal/units.ts'
import type { Bundle } from '../bundle.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import { copiesText } from '../copies-text.ts'
import { FileFailures } from '../file-failures.ts'
import { readLocal } from '../local-file.ts'
import { type LocalItem, walkLocal } from '../local-tree.ts'
import { mediaTypeOf } from '../media-type.ts'
import type { PutRules } from '../put-fields.ts'
import type { Session } from '../session.ts'

/**
 * The number of files of a folder that are put concurrently. Putting a small file is mostly waiting for disks and
 * members, so several puts run in parallel.
 */
const FILES_AT_ONCE = 128
/** How many of these files may be larger than `LARGE_BYTES`. A few large files use the whole bandwidth. */
const LARGE_AT_ONCE = 2
const LARGE_BYTES = 4 << 20
/** How many of these files may be of a size between small and large. Each of them needs its own request. */
const MEDIUM_AT_ONCE = 32

interface Flags {
  clobber: boolean
  replicas?: string | undefined
  ack?: string | undefined
}

export const put: DfsCommand = {
  name: 'put',
  summary: 'store a file, a folder, or - for stdin',
  exits: ['notFound', 'noSpace'],
  declare(command) {
    command
      .argument('<source>', 'local file or folder', nonEmpty)
      .argument('[path]', 'path to store it at (default: its own name)', nonEmpty)
      .option('--no-clobber', 'fail rather than replace a file')
      .option('--replicas <n|all>', 'copies of each file')
      .option('--ack <n|all>', 'copies that must be durable before this returns')
  },
  async run(session: Session, source: string, path: string | undefined, { clobber, replicas, ack }: Flags) {
    for (const copies of [replicas, ack]) if (copies !== undefined) parseCopies(copies)
    const rules: PutRules = { noClobber: !clobber, replicas, ack }
    if (source === '-') {
      await putStdin(session, path, rules)
      return
    }
    const found = await stat(source).catch(error => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      throw new CliError('not-found', `no such local file or folder: ${source}`)
    })
    const name = basename(resolve(source))
    if (found.isDirectory()) {
      await putFolder(session, source, path ?? `/${name}`, rules)
      return
    }
    if (!found.isFile()) throw usage('the source is neither a file nor a folder: give one of these, or - for stdin')
    const target = await targetOf(session, name, path)
    const progress = new Progress('put', session.isJson, found.size)
    const { size, mtime: modified, mode } = found
    // If the user specified a link, it is followed.
    const item = { local: await realpath(source), size, modified, mode: mode & 0o777 }
    show(session, await putOne({ session, rules, progress }, item, target))
  }
}

/** The objects that all files of one run share. */
interface Run {
  session: Session
  rules: PutRules
  progress: Progress
  /** The bundle for small files, if the whole folder is put. */
  bundle?: Bundle
}

async function putStdin(session: Session, path: string | undefined, rules: PutRules): Promise<void> {
  if (path === undefined || path.endsWith('/')) throw usage('put - needs the path of a file to store stdin at')
  const { client, signal, isJson } = session
  const body = new Progress('put', isJson).count(process.stdin as AsyncIterable<Buffer>)
  try {
    show(session, await client.put(path, body, { ...rules, type: mediaTypeOf(path) }, signal))
  } finally {
    // After a failure, another program may still hold stdin open, and this program must not wait for it.
    process.stdin.destroy()
  }
}

/** Returns the path to store a file at. If there is a directory at the given path, the file is put into it. */
async function targetOf({ client }: Session, name: string, path: string | undefined): Promise<string> {
  if (path === undefined) return `/${name}`
  if (path.endsWith('/')) return `${path}${name}`
  const there = await client.call('stat', { path }).catch(error => {
    if (error instanceof CliError && error.code === 'not-found') return undefined
    throw error
  })
  return there?.kind === 'directory' ? `${path}/${name}` : path
}

async function putFolder(session: Session, folder: string, path: string, rules: PutRules): Promise<void> {
  const { client, signal, isJson } = session
  const root = path.replace(/\/+$/, '')
  const progress = new Progress('put', isJson, 0)
  const failures = new FileFailures('put', isJson)
  const large = new Slots(LARGE_AT_ONCE)
  const medium = new Slots(MEDIUM_AT_ONCE)
  const run = { session, rules, progress, bundle: client.bundle(rules, signal) }
  if (root !== '') await client.call('mkdir', { path: root })
  const items = walkLocal(folder, (name, error) => failures.add(name, error))
  const putItem = async (item: LocalItem): Promise<void> => {
    signal.throwIfAborted()
    const target = `${root}/${item.parts.join('/')}`
    const work = async (): Promise<void> => {
      if (item.kind === 'directory') await client.call('mkdir', { path: target })
      else show(session, await putOne(run, item, target))
    }
    const size = item.kind === 'file' ? item.size : 0
    progress.expect(size)
    const slots = size > LARGE_BYTES ? large : size > SMALL_FILE_BYTES_MAX ? medium : undefined
    try {
      await (slots === undefined ? work() : slots.run(work))
    } catch (error) {
      if (!isOfThisFile(error)) throw error
      failures.add(item.parts.join('/'), error)
    }
  }
  try {
    await forEachAtOnce(items, FILES_AT_ONCE, putItem)
  } finally {
    await run.bundle.end()
  }
  failures.end()
}

async function putOne(
  { session, rules, progress, bundle }: Run,
  { local, size, modified, mode }: Pick<LocalItem, 'local' | 'size' | 'modified' | 'mode'>,
  target: string
): Promise<Json<PutResult>> {
  const { client, signal } = session
  const bytes = await readLocal(local, size, SMALL_FILE_BYTES_MAX)
  const facts = { modified, mode, type: mediaTypeOf(local) }
  const fields = { ...rules, ...facts }
  if (!(bytes instanceof Uint8Array)) return client.put(target, progress.count(bytes), fields, signal)
  const result = await (bundle?.put(target, bytes, facts) ?? client.put(target, bytes, fields, signal))
  progress.add(bytes.byteLength)
  return result
}

// A name that is not allowed, or a file that already exists, concerns only this file. Other failures, such as a full
// disk, would make every later put fail too.
function isOfThisFile(error: unknown): boolean {
  if (!(error instanceof CliError)) return isOfOneFile(error)
  return ['invalid', 'exists', 'changed', 'is-a-directory', 'not-a-directory', 'damaged'].includes(error.code)
}

function show({ isJson }: Session, result: Json<PutResult>): void {
  hideProgress()
  const { path, size, root, version, reached, confirmed, wanted, owed } = result
  if (isJson) printJson({ path, size, root, version, reached, confirmed, wanted, owed })
  else printLine(`${path}  ${formatBytes(size)}  ${copiesText(result, Date.now())}`)
}
