import { realpath, stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { SMALL_FILE_BYTES_MAX } from '../../contract/constants.ts'
import { forEachAtOnce, Slots } from '../../flow/at-once.ts'
import type { PutResult } from '../../index.ts'
import { CliError, isOfOneFile, usage } from '../../terminal/errors.ts'
import { printJson, printLine } from '../../terminal/print.ts'
import { hideProgress, Progress } from '../../terminal/progress.ts'
import { formatBytes, parseCopies } from '../../terminal/units.ts'
import type { Bundle } from '../bundle.ts'
import { Faults } from '../faults.ts'
import { readLocal } from '../local-file.ts'
import { type LocalItem, walkLocal } from '../local-tree.ts'
import { mediaTypeOf } from '../media-type.ts'
import type { PutFields, PutRules } from '../put-fields.ts'
import type { Session } from '../session.ts'

/** Files of a folder under way at once: small ones wait for disks and members, and they wait together. */
const FILES_AT_ONCE = 128
/** And so many that are larger still: a few fill every pipe. */
const LARGE_AT_ONCE = 2
const LARGE_BYTES = 4 << 20
/** Of these so many at most that take a request each. */
const MEDIUM_AT_ONCE = 32

export interface PutFlags {
  clobber: boolean
  replicas?: string | undefined
  ack?: string | undefined
}

/** `dfs put FILE|DIR|- [PATH]` */
export async function put(session: Session, source: string, path: string | undefined, flags: PutFlags): Promise<void> {
  for (const copies of [flags.replicas, flags.ack]) if (copies !== undefined) parseCopies(copies)
  const fields: PutFields = { noClobber: !flags.clobber, replicas: flags.replicas, ack: flags.ack }
  if (source === '-') {
    await putStdin(session, path, fields)
    return
  }
  const found = await stat(source).catch(error => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new CliError('not-found', `no such local file or folder: ${source}`)
  })
  const name = basename(resolve(source))
  if (found.isDirectory()) {
    await putFolder(session, source, path ?? `/${name}`, fields)
    return
  }
  if (!found.isFile()) throw usage('only files, folders and - can be put')
  const target = await targetOf(session, name, path)
  const progress = new Progress('put', session.isJson, found.size)
  const { size, mtime: modified, mode } = found
  // Whoever names a link means what it leads to.
  const item = { local: await realpath(source), size, modified, mode: mode & 0o777 }
  show(session, await putOne(session, item, target, fields, progress))
}

async function putStdin(session: Session, path: string | undefined, fields: PutFields): Promise<void> {
  if (path === undefined || path.endsWith('/')) throw usage('put - needs the path to put to')
  const { client, signal, isJson } = session
  const body = new Progress('put', isJson).count(process.stdin as AsyncIterable<Buffer>)
  try {
    show(session, await client.put(path, body, { ...fields, type: mediaTypeOf(path) }, signal))
  } finally {
    // Somebody may hold it open still, and nothing more is wanted of them.
    process.stdin.destroy()
  }
}

/** A directory at the path means: into it. */
async function targetOf({ client }: Session, name: string, path: string | undefined): Promise<string> {
  if (path === undefined) return `/${name}`
  if (path.endsWith('/')) return `${path}${name}`
  const there = await client.call('stat', { path }).catch(error => {
    if (error instanceof CliError && error.code === 'not-found') return undefined
    throw error
  })
  return there?.kind === 'directory' ? `${path}/${name}` : path
}

async function putFolder(session: Session, folder: string, path: string, fields: PutRules): Promise<void> {
  const { client, signal, isJson } = session
  const root = path.replace(/\/+$/, '')
  const progress = new Progress('put', isJson, 0)
  const faults = new Faults('put', isJson)
  const large = new Slots(LARGE_AT_ONCE)
  const medium = new Slots(MEDIUM_AT_ONCE)
  const bundle = client.bundle(fields, signal)
  if (root !== '') await client.call('mkdir', { path: root })
  const items = walkLocal(folder, (name, error) => faults.add(name, error))
  const putItem = async (item: LocalItem): Promise<void> => {
    signal.throwIfAborted()
    const target = `${root}/${item.parts.join('/')}`
    const work = async (): Promise<void> => {
      if (item.kind === 'directory') await client.call('mkdir', { path: target })
      else show(session, await putOne(session, item, target, fields, progress, bundle))
    }
    const size = item.kind === 'file' ? item.size : 0
    progress.expect(size)
    const gate = size > LARGE_BYTES ? large : size > SMALL_FILE_BYTES_MAX ? medium : undefined
    try {
      await (gate === undefined ? work() : gate.run(work))
    } catch (error) {
      if (!saysNothingOfOthers(error)) throw error
      faults.add(item.parts.join('/'), error)
    }
  }
  try {
    await forEachAtOnce(items, FILES_AT_ONCE, putItem)
  } finally {
    await bundle.end()
  }
  faults.end()
}

/** Small files go into the bundle, if there is one. */
async function putOne(
  { client, signal }: Session,
  { local, size, modified, mode }: Pick<LocalItem, 'local' | 'size' | 'modified' | 'mode'>,
  target: string,
  rules: PutRules,
  progress: Progress,
  bundle?: Bundle
): Promise<PutResult> {
  const bytes = await readLocal(local, size, SMALL_FILE_BYTES_MAX)
  const facts = { modified, mode, type: mediaTypeOf(local) }
  const fields = { ...rules, ...facts }
  if (!(bytes instanceof Uint8Array)) return client.put(target, progress.count(bytes), fields, signal)
  const result = await (bundle?.put(target, bytes, facts) ?? client.put(target, bytes, fields, signal))
  progress.add(bytes.byteLength)
  return result
}

// A name that cannot be, or a file that is there already, is the fault of this one; no space is everybody's.
function saysNothingOfOthers(error: unknown): boolean {
  if (!(error instanceof CliError)) return isOfOneFile(error)
  return ['invalid', 'exists', 'changed', 'is-a-directory', 'not-a-directory', 'damaged'].includes(error.code)
}

function show({ isJson }: Session, result: PutResult): void {
  hideProgress()
  const { path, size, root, version, reached, wanted, owed } = result
  if (isJson) printJson({ path, size, root, version, reached, wanted, owed })
  else printLine(`${path}  ${formatBytes(size)}  on ${reached.length} of ${wanted}`)
}
