import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CliError } from '../terminal/errors.ts'

/** A file or folder of this machine, on its way in. */
export interface LocalItem {
  local: string
  /** Below the folder that was walked, as parts. */
  parts: string[]
  kind: 'file' | 'directory'
  size: number
  modified: Date
  /** Permission bits, those of `rwx` only. */
  mode: number
}

/**
 * Everything below a folder, folders before what is in them. What cannot be put is handed to `onFault` and left out: a
 * link, since following it would leave the folder, a socket, a name that is not UTF-8 or stands for the same text as one
 * before, a folder that may not be read.
 */
export async function* walkLocal(
  folder: string,
  onFault: (name: string, error: unknown) => void,
  above: string[] = []
): AsyncGenerator<LocalItem> {
  const taken = new Set<string>()
  for (const bytes of await namesIn(folder, error => onFault(above.join('/') || folder, error))) {
    const name = bytes.toString('utf8')
    const parts = [...above, name]
    if (!Buffer.from(name, 'utf8').equals(bytes)) {
      onFault(parts.join('/'), new CliError('invalid', 'its name is not UTF-8'))
      continue
    }
    const local = join(folder, name)
    const found = await lstat(local).catch(error => {
      onFault(parts.join('/'), error)
      return undefined
    })
    if (found === undefined) continue
    if (!found.isFile() && !found.isDirectory()) {
      onFault(parts.join('/'), new CliError('invalid', 'it is neither a file nor a folder'))
      continue
    }
    // Two names here that are one in the network: the second would take the first one's place.
    const text = name.normalize('NFC')
    if (taken.has(text)) {
      onFault(
        parts.join('/'),
        new CliError('exists', 'another name in this folder is the same text in other code points')
      )
      continue
    }
    taken.add(text)
    const kind = found.isFile() ? 'file' : 'directory'
    yield { local, parts, kind, size: found.size, modified: found.mtime, mode: found.mode & 0o777 }
    if (kind === 'directory') yield* walkLocal(local, onFault, parts)
  }
}

async function namesIn(folder: string, onFault: (error: unknown) => void): Promise<Buffer[]> {
  const names = await readdir(folder, { encoding: 'buffer' }).catch(error => {
    onFault(error)
    return []
  })
  return names.sort(Buffer.compare)
}
