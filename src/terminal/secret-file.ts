import { stat } from 'node:fs/promises'
import { systemWords } from '../util/system-words.ts'
import { readBounded } from './bounded-read.ts'
import { CliError, usage } from './errors.ts'
import { note } from './print.ts'

export interface SecretFileOptions {
  /** The flag that names the file. */
  flag: string
  /** What the file holds, with its article, such as `a passphrase`. */
  what: string
  bytesMax: number
  /** Ends the wait for a pipe. */
  signal?: AbortSignal | undefined
}

/**
 * Reads a file that holds a secret, or a pipe. Returns undefined if there is no such file. Throws a usage error if it is
 * no file or is too large, `not-allowed` if this user may not read it, and the reason of the signal. Warns if others on
 * this machine can read it.
 *
 * No error names the file, because people sometimes type the secret itself in its place.
 */
export async function readSecretIfThere(
  file: string,
  { flag, what, bytesMax, signal }: SecretFileOptions
): Promise<string | undefined> {
  try {
    const found = await stat(file)
    if (found.isDirectory()) throw usage(`${flag}: this is a folder: name a file that holds ${what}`)
    if (process.platform !== 'win32' && found.isFile() && (found.mode & 0o077) !== 0)
      note(`warning: others on this machine can read the file named by ${flag} (run chmod 600 on it)`)
    const bytes = await readBounded(file, { flag, bytesMax, signal })
    if (bytes === undefined) throw usage(`${flag}: this file is too large to hold ${what}`)
    return bytes.toString('utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    signal?.throwIfAborted()
    if (error instanceof CliError) throw error
    const isDenied = code === 'EACCES' || code === 'EPERM'
    const message = `${flag}: this file cannot be read: ${systemWords(code)}`
    throw isDenied ? new CliError('not-allowed', `${message} (run chmod 600 on it, as its owner)`) : usage(message)
  }
}

/** Reads a file that holds a secret, as `readSecretIfThere` does. Throws `not-found` if there is no such file. */
export async function readSecret(file: string, options: SecretFileOptions): Promise<string> {
  const text = await readSecretIfThere(file, options)
  if (text === undefined) throw noSecret(options)
  return text
}

/** Returns the error for a file that is missing. `instead` says what else the user may do. */
export function noSecret({ flag, what }: Pick<SecretFileOptions, 'flag' | 'what'>, instead = ''): CliError {
  return new CliError('not-found', `${flag}: there is no such file: name a file that holds ${what}${instead}`)
}
