import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import type { PutResult } from '../../index.ts'
import type { PutFields } from '../client.ts'
import { CliError, messageOf, usage } from '../exit.ts'
import { type LocalItem, walkLocal } from '../local-tree.ts'
import { mediaTypeOf } from '../media-type.ts'
import { forEachAtOnce } from '../pool.ts'
import { Progress } from '../progress.ts'
import { note, printJson, printLine, type Session } from '../session.ts'
import { formatBytes, parseCopies } from '../units.ts'

const READ_BYTES = 256 << 10
/** Small files of a folder under way at once: each waits for disks and members, and they wait together. */
const FILES_AT_ONCE = 32
/** Bytes of files under way at once, roughly: a few large ones fill every pipe. */
const LARGE_BYTES = 4 << 20
const LARGE_AT_ONCE = 2

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
    if (path === undefined || path.endsWith('/')) throw usage('put - needs the path to put to')
    const progress = new Progress('put', session.isJson)
    const body = progress.count(process.stdin as AsyncIterable<Buffer>)
    show(session, await session.client.put(path, body, { ...fields, type: mediaTypeOf(path) }, session.signal))
    progress.end()
    return
  }
  const found = await stat(source).catch(error => {
    throw new CliError(
      'not-found',
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such local file' : messageOf(error)
    )
  })
  if (found.isDirectory()) {
    await putFolder(session, source, path ?? `/${basename(resolve(source))}`, fields)
    return
  }
  if (!found.isFile()) throw usage('only files, folders and - can be put')
  const progress = new Progress('put', session.isJson, found.size)
  const item = {
    local: source,
    parts: [],
    kind: 'file' as const,
    size: found.size,
    modified: found.mtime,
    mode: found.mode & 0o777
  }
  show(session, await putOne(session, item, await targetOf(session, source, path), fields, progress))
  progress.end()
}

/** A directory at the path means: into it. */
async function targetOf({ client }: Session, source: string, path: string | undefined): Promise<string> {
  const name = basename(resolve(source))
  if (path === undefined) return `/${name}`
  const isInto = path.endsWith('/') || (await client.stat(path).catch(() => undefined))?.kind === 'directory'
  return isInto ? `${path.replace(/\/+$/, '')}/${name}` : path
}

async function putFolder(session: Session, folder: string, path: string, fields: PutFields): Promise<void> {
  const root = path.replace(/\/+$/, '')
  const progress = new Progress('put', session.isJson, 0)
  const faults: Array<{ name: string; error: unknown }> = []
  const skip = (name: string, why: string): void => {
    faults.push({ name, error: new CliError('invalid', why) })
    note(`skipped ${name}: ${why}`)
  }
  if (root !== '') await session.client.mkdir(root)
  let large = 0
  let free = Promise.withResolvers<void>()
  await forEachAtOnce(walkLocal(folder, skip), FILES_AT_ONCE, async item => {
    session.signal.throwIfAborted()
    const target = `${root}/${item.parts.join('/')}`
    const isLarge = item.kind === 'file' && item.size > LARGE_BYTES
    if (isLarge) {
      while (large >= LARGE_AT_ONCE) await free.promise
      large++
    }
    try {
      if (item.kind === 'directory') await session.client.mkdir(target)
      else {
        progress.expect(item.size)
        show(session, await putOne(session, item, target, fields, progress))
      }
    } catch (error) {
      if (!(error instanceof CliError) || !isOfThisFileOnly(error)) throw error
      faults.push({ name: item.parts.join('/'), error })
      note(`not put: ${item.parts.join('/')}: ${error.message}`)
    } finally {
      if (isLarge) {
        large--
        free.resolve()
        free = Promise.withResolvers()
      }
    }
  })
  progress.end()
  const [first] = faults
  if (first !== undefined) throw new CliError('failed', `${faults.length} of what is in this folder could not be put`)
}

async function putOne(
  { client, signal }: Session,
  item: LocalItem,
  target: string,
  fields: PutFields,
  progress: Progress
): Promise<PutResult> {
  const body = createReadStream(item.local, { highWaterMark: READ_BYTES })
  const facts = { size: item.size, modified: item.modified, mode: item.mode, type: mediaTypeOf(item.local) }
  return client.put(target, progress.count(body as AsyncIterable<Buffer>), { ...fields, ...facts }, signal)
}

// A name that cannot be, or a file that is there already, says nothing about the next one.
function isOfThisFileOnly({ code }: CliError): boolean {
  return ['invalid', 'exists', 'is-a-directory', 'not-a-directory', 'io', 'damaged'].includes(code)
}

function show({ isJson }: Session, result: PutResult): void {
  const { path, size, root, version, reached, wanted, owed } = result
  if (isJson) printJson({ path, size, root, version, reached, wanted, owed })
  else printLine(`${path}  ${formatBytes(size)}  on ${reached.length} of ${wanted}`)
}
