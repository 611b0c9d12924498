import { lstat, realpath, stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { CliError, usage } from '../terminal/errors.ts'
import { factsOfStats, type LocalFacts } from './local-source.ts'

/** What the arguments of a put mean. */
export interface PutArguments {
  /** As the user gave them. One that is `-` is stdin, and then it is the only one. */
  sources: string[]
  /** The path in the network, if one was given. */
  path: string | undefined
  /** True if the sources go into the path under their own names. */
  isInto: boolean
}

/** A local file or folder that the user named. */
export interface Source extends LocalFacts {
  /** As the user gave it, without slashes at its end. */
  given: string
  /** The file or folder itself. A link that the user named is followed. */
  local: string
  /** Its own name; empty for the root of a disk. */
  name: string
  kind: 'file' | 'directory'
}

/**
 * Returns what the arguments of a put mean. The last one is the path in the network if it starts with `/` or if nothing
 * local has that name. Throws a usage error if stdin is not alone, or if it has no path.
 */
export async function putArguments(given: readonly string[]): Promise<PutArguments> {
  const last = given.at(-1) as string
  const hasPath = given.length > 1 && last !== '-' && (last.startsWith('/') || !(await isLocal(last)))
  const sources = hasPath ? given.slice(0, -1) : [...given]
  const path = hasPath ? last : undefined
  const isInto = sources.length > 1 || path?.endsWith('/') === true
  if (!sources.includes('-')) return { sources, path, isInto }
  if (sources.length > 1) throw usage('put - stores stdin as one file: give no other source')
  if (path === undefined || path.endsWith('/')) throw usage('put - needs the path of a file to store stdin at')
  return { sources, path, isInto }
}

/** Looks at a source. Throws a `CliError` if nothing is there, or neither a file nor a folder. */
export async function lookAtSource(given: string): Promise<Source> {
  const found = await stat(given).catch(error => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new CliError('not-found', 'no such local file or folder')
  })
  if (!found.isFile() && !found.isDirectory())
    throw usage('it is neither a file nor a folder: give one of these, or - for stdin')
  const local = await realpath(given)
  const kind = found.isFile() ? 'file' : 'directory'
  return { given: given.replace(/(?<=.)\/+$/, ''), local, name: basename(resolve(given)), kind, ...factsOfStats(found) }
}

async function isLocal(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch {
    // An item that cannot be looked at is not a source.
    return false
  }
}
