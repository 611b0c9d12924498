import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { API_FILE, type ApiFile, parseApiFile } from '../contract/api-file.ts'
import { directoryId } from '../terminal/directory-id.ts'
import { CliError } from '../terminal/errors.ts'
import { NoAnswerError } from './transport.ts'

/**
 * Reads the file in which a node says how to reach it. Throws a `NoAnswerError` if there is none, or if the file was
 * copied with the data directory, and `not-allowed` if the directory belongs to another user.
 */
export async function readApiFile(dataDir: string): Promise<ApiFile> {
  try {
    const file = parseApiFile(await readFile(join(dataDir, API_FILE), 'utf8'))
    if (file?.directory === (await directoryId(dataDir))) return file
    throw noNode(dataDir)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'EACCES' || code === 'EPERM')
      throw new CliError('not-allowed', `${dataDir}: this data directory belongs to another user: run dfs as that user`)
    throw cause instanceof NoAnswerError ? cause : noNode(dataDir, { cause })
  }
}

function noNode(dataDir: string, options?: ErrorOptions): NoAnswerError {
  return new NoAnswerError(
    `${dataDir}: no node runs on this data directory: start dfs-node on it, or give another --data-dir`,
    options
  )
}
