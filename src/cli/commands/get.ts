import { basename, join } from 'node:path'
import type { AnswerOf } from '../../contract/verbs.ts'
import { forEachAtOnce } from '../../flow/at-once.ts'
import { CliError, isOfOneFile, usage } from '../../terminal/errors.ts'
import { printJson, printLine } from '../../terminal/print.ts'
import { hideProgress, Progress } from '../../terminal/progress.ts'
import { writeOut } from '../../terminal/stdout.ts'
import { formatBytes } from '../../terminal/units.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import { FileFailures } from '../file-failures.ts'
import { kindOf, localNameFault, makeLocalFolder, writeLocal } from '../local-file.ts'
import type { Session } from '../session.ts'
import { NoAnswerError } from '../transport.ts'

/** The number of files of a directory that are fetched concurrently. */
const FILES_AT_ONCE = 8

interface Flags {
  force: boolean
}

export const get: DfsCommand = {
  name: 'get',
  summary: 'fetch a file or a directory; - is stdout',
  exits: ['notFound', 'integrity', 'noSpace'],
  declare(command) {
    command
      .argument('<path>', 'file or directory', nonEmpty)
      .argument('[target]', 'local file or folder (default: the name in the network)', nonEmpty)
      .option('--force', 'replace local files', false)
  },
  async run(session: Session, given: string, target: string | undefined, { force }: Flags) {
    const { client, isJson } = session
    const { path, kind, size } = await client.call('stat', { path: given })
    const name = basename(path)
    if (target === '-') {
      if (kind === 'directory') throw usage('a directory cannot be written to stdout: name a local folder')
      await writeOut((await client.get(path)).body)
      return
    }
    if (kind === 'directory') {
      await getFolder(session, path, target ?? (name === '' ? '.' : safeName(name)), force)
      return
    }
    const isInto = target !== undefined && (target.endsWith('/') || (await kindOf(target, 'follow')) === 'directory')
    const local = target === undefined ? safeName(name) : isInto ? join(target, safeName(name)) : target
    await getOne({ session, force, progress: new Progress('get', isJson, size) }, path, local)
  }
}

/** The objects that all files of one run share. */
interface Run {
  session: Session
  force: boolean
  progress: Progress
}

async function getFolder(session: Session, path: string, folder: string, force: boolean): Promise<void> {
  const { client, isJson } = session
  const progress = new Progress('get', isJson, 'files')
  const failures = new FileFailures('fetched', isJson)
  // The user may specify a link to a folder. Below that folder, no links are followed.
  if ((await kindOf(folder, 'follow')) !== 'directory') await makeLocalFolder(folder)
  const files = localFiles(client.stream('list', { path, recursive: true }), path, folder, failures)
  await forEachAtOnce(files, FILES_AT_ONCE, async ({ item, local }) => {
    try {
      await getOne({ session, force, progress }, item.path, local)
      progress.addFile()
    } catch (error) {
      if (error instanceof NoAnswerError || !(error instanceof CliError || isOfOneFile(error))) throw error
      failures.add(item.path, error)
    }
  })
  failures.end()
}

/**
 * Yields the local path of each file in a listing, and creates the folders on the way. Everything below a folder that
 * cannot be created is left out.
 */
async function* localFiles(
  items: AsyncIterable<AnswerOf<'list'>>,
  base: string,
  folder: string,
  failures: FileFailures
): AsyncGenerator<{ item: AnswerOf<'list'>; local: string }> {
  const lost = new Set<string>()
  const start = base === '/' ? 1 : base.length + 1
  for await (const item of items) {
    const parts = item.path.slice(start).split('/')
    const isFolder = item.kind === 'directory'
    try {
      if (lost.has(parts.slice(0, -1).join('/'))) throw new CliError('failed', 'its local folder is missing')
      for (const part of parts) safeName(part)
      const local = join(folder, ...parts)
      if (isFolder) await makeLocalFolder(local)
      else yield { item, local }
    } catch (error) {
      if (!(error instanceof CliError || isOfOneFile(error))) throw error
      if (isFolder) lost.add(parts.join('/'))
      failures.add(item.path, error)
    }
  }
}

async function getOne({ session, force, progress }: Run, path: string, local: string): Promise<void> {
  const { client, isJson } = session
  const kind = await kindOf(local)
  if (kind === 'directory')
    throw new CliError('exists', `a local folder already has this name: ${local}; name another target`)
  if (kind !== undefined && !force)
    throw new CliError('exists', `a local file already has this name: ${local}; give --force to replace it`)
  const { size, modified, mode, body, close, from } = await client.get(path)
  try {
    await writeLocal(local, progress.count(body), { modified, mode })
  } finally {
    close()
  }
  hideProgress()
  if (isJson) printJson({ path, target: local, size, from: await from() })
  else printLine(`${local}  ${formatBytes(size)}`)
}

function safeName(name: string): string {
  const fault = localNameFault(name)
  if (fault !== undefined) throw new CliError('invalid', `${fault}: name a local target`)
  return name
}
