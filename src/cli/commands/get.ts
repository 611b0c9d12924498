import { basename, join } from 'node:path'
import type { AnswerOf } from '../../contract/verbs.ts'
import { forEachAtOnce } from '../../flow/at-once.ts'
import { CliError, isOfOneFile, usage } from '../../terminal/errors.ts'
import { printJson, printLine } from '../../terminal/print.ts'
import { hideProgress, Progress } from '../../terminal/progress.ts'
import { writeOut } from '../../terminal/stdout.ts'
import { formatBytes } from '../../terminal/units.ts'
import { Faults } from '../faults.ts'
import { kindOf, localNameFault, makeLocalFolder, writeLocal } from '../local-file.ts'
import type { Session } from '../session.ts'
import { NoAnswerError } from '../transport.ts'

const FILES_AT_ONCE = 8

/** `dfs get PATH [FILE|DIR|-]` */
export async function get(
  session: Session,
  path: string,
  target: string | undefined,
  { force }: { force: boolean }
): Promise<void> {
  const { client, isJson } = session
  const found = await client.call('stat', { path })
  const name = basename(found.path)
  if (target === '-') {
    if (found.kind === 'directory') throw usage('a directory cannot be written to stdout')
    await writeOut((await client.get(found.path)).body)
    return
  }
  if (found.kind === 'directory') {
    await getFolder(session, found.path, target ?? (name === '' ? '.' : safeName(name)), force)
    return
  }
  const isInto = target !== undefined && (target.endsWith('/') || (await kindOf(target, 'follow')) === 'directory')
  const local = target === undefined ? safeName(name) : isInto ? join(target, safeName(name)) : target
  await getOne(session, found.path, local, force, new Progress('get', isJson, found.size))
}

async function getFolder(session: Session, path: string, folder: string, force: boolean): Promise<void> {
  const { client, isJson } = session
  const progress = new Progress('get', isJson, 0)
  const faults = new Faults('fetched', isJson)
  // The folder named may be a link: that is for its user to say. None below it is followed.
  if ((await kindOf(folder, 'follow')) !== 'directory') await makeLocalFolder(folder)
  const files = localFiles(client.stream('list', { path, recursive: true }), path, folder, faults)
  await forEachAtOnce(files, FILES_AT_ONCE, async ({ item, local }) => {
    progress.expect(item.size)
    try {
      await getOne(session, item.path, local, force, progress)
    } catch (error) {
      if (error instanceof NoAnswerError || !(error instanceof CliError || isOfOneFile(error))) throw error
      faults.add(item.path, error)
    }
  })
  faults.end()
}

/** Where each file of a listing goes; makes the folders on the way. What is below one that cannot be made is left out. */
async function* localFiles(
  items: AsyncIterable<AnswerOf<'list'>>,
  base: string,
  folder: string,
  faults: Faults
): AsyncGenerator<{ item: AnswerOf<'list'>; local: string }> {
  const lost = new Set<string>()
  const start = base === '/' ? 1 : base.length + 1
  for await (const item of items) {
    const parts = item.path.slice(start).split('/')
    const isFolder = item.kind === 'directory'
    try {
      if (lost.has(parts.slice(0, -1).join('/'))) throw new CliError('failed', 'the folder it goes to is missing')
      for (const part of parts) safeName(part)
      const local = join(folder, ...parts)
      if (isFolder) await makeLocalFolder(local)
      else yield { item, local }
    } catch (error) {
      if (!(error instanceof CliError || isOfOneFile(error))) throw error
      if (isFolder) lost.add(parts.join('/'))
      faults.add(item.path, error)
    }
  }
}

async function getOne(
  { client, isJson }: Session,
  path: string,
  local: string,
  force: boolean,
  progress: Progress
): Promise<void> {
  const kind = await kindOf(local)
  if (kind === 'directory') throw new CliError('exists', `a local folder has this name: ${local}`)
  if (kind !== undefined && !force)
    throw new CliError('exists', `a local file has this name: ${local}; give --force to replace it`)
  const { size, modified, mode, body, from } = await client.get(path)
  await writeLocal(local, progress.count(body), { modified, mode })
  hideProgress()
  if (isJson) printJson({ path, target: local, size, from: await from() })
  else printLine(`${local}  ${formatBytes(size)}`)
}

function safeName(name: string): string {
  const fault = localNameFault(name)
  if (fault !== undefined) throw new CliError('invalid', `${fault}: say where to put it`)
  return name
}
