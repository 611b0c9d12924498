import { basename, join } from 'node:path'
import type { ListItem } from '../../index.ts'
import { CliError, messageOf, usage } from '../exit.ts'
import { kindOf, localNameFault, makeLocalFolder, writeLocal } from '../local-file.ts'
import { forEachAtOnce } from '../pool.ts'
import { Progress } from '../progress.ts'
import { note, printJson, printLine, type Session } from '../session.ts'
import { writeOut } from '../stdout.ts'
import { formatBytes } from '../units.ts'

const FILES_AT_ONCE = 8

/** `dfs get PATH [FILE|DIR|-]` */
export async function get(
  session: Session,
  path: string,
  target: string | undefined,
  { force }: { force: boolean }
): Promise<void> {
  const { client, signal, isJson } = session
  const found = await client.stat(path)
  if (target === '-') {
    if (found.kind === 'directory') throw usage('a directory cannot be written to stdout')
    const download = await client.get(found.path, undefined, signal)
    await writeOut(download.body)
    return
  }
  const name = basename(found.path)
  if (found.kind === 'directory') {
    await getFolder(session, found.path, target ?? (name === '' ? '.' : safeName(name)), force)
    return
  }
  const isInto = target !== undefined && (target.endsWith('/') || (await kindOf(target)) === 'directory')
  const local = target === undefined ? safeName(name) : isInto ? join(target, safeName(name)) : target
  const progress = new Progress('get', isJson, found.size)
  await getOne(session, found.path, local, force, progress)
  progress.end()
}

async function getFolder(session: Session, path: string, folder: string, force: boolean): Promise<void> {
  const { client, signal, isJson } = session
  const progress = new Progress('get', isJson, 0)
  let faults = 0
  const fail = (item: ListItem, why: string): void => {
    faults++
    note(`not fetched: ${item.path}: ${why}`)
  }
  // A folder that could not be made takes all below it along.
  const lost = new Set<string>()
  await makeLocalFolder(folder)
  const base = path === '/' ? '' : path
  const items = client.list(path, true, signal)
  async function* files(): AsyncGenerator<{ item: ListItem; local: string }> {
    for await (const item of items) {
      const parts = item.path.slice(base.length + 1).split('/')
      const local = join(folder, ...parts)
      const above = parts.slice(0, -1).join('/')
      const fault = localNameFault(parts.at(-1) as string)
      if (lost.has(above) && above !== '') {
        lost.add(parts.join('/'))
        continue
      }
      if (fault !== undefined) {
        fail(item, fault)
        lost.add(parts.join('/'))
      } else if (item.kind === 'directory') {
        await makeLocalFolder(local).catch(error => {
          fail(item, messageOf(error))
          lost.add(parts.join('/'))
        })
      } else yield { item, local }
    }
  }
  await forEachAtOnce(files(), FILES_AT_ONCE, async ({ item, local }) => {
    progress.expect(item.size)
    try {
      await getOne(session, item.path, local, force, progress)
    } catch (error) {
      if (!(error instanceof CliError) || error.code === 'unreachable') throw error
      fail(item, error.message)
    }
  })
  progress.end()
  if (faults > 0) throw new CliError('failed', `${faults} of what is in this directory could not be fetched`)
}

async function getOne(
  { client, signal, isJson }: Session,
  path: string,
  local: string,
  force: boolean,
  progress: Progress
): Promise<void> {
  const kind = await kindOf(local)
  if (kind === 'directory') throw new CliError('exists', 'a local folder has this name')
  if (kind !== undefined && !force)
    throw new CliError('exists', 'a local file has this name: give --force to replace it')
  const { size, modified, mode, body, from } = await client.get(path, undefined, signal)
  await writeLocal(local, progress.count(body), { modified, mode })
  if (isJson) printJson({ path, target: local, size, from: await from() })
  else printLine(`${local}  ${formatBytes(size)}`)
}

function safeName(name: string): string {
  const fault = localNameFault(name)
  if (fault !== undefined) throw new CliError('invalid', `${fault}: say where to put it`)
  return name
}
