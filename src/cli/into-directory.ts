import { posix } from 'node:path'
import { CliError } from '../terminal/errors.ts'
import type { Client } from './client.ts'

/**
 * Returns the path to give to a copy or a move onto `to`. One that ends in `/` means into a directory, which is made if
 * nothing is there. Throws a `CliError` if a file is there.
 */
export async function intoDirectory(client: Pick<Client, 'call'>, from: string, to: string): Promise<string> {
  if (!to.endsWith('/')) return to
  try {
    const { kind } = await client.call('stat', { path: to })
    if (kind === 'directory') return to
  } catch (error) {
    if (error instanceof CliError && error.code === 'not-found') return to + posix.basename(from)
    throw error
  }
  throw new CliError('not-a-directory', 'this is a file: leave out the slash at its end to replace it', { about: to })
}
