import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CliError } from '../terminal/errors.ts'

/** A local file or folder that is about to be put. */
export interface LocalItem {
  local: string
  /** The path relative to the walked folder, split into its parts. */
  parts: string[]
  kind: 'file' | 'directory'
  size: number
  modified: Date
  /** The nine permission bits. */
  mode: number
}

/**
 * Yields everything below a folder, each folder before its contents. `onFault` is called for each item that is left
 * out, because it cannot be put: a link (following it could lead out of the folder), a socket, a name that is not UTF-8
 * or that is the same text as an earlier name, and a folder that this user may not read.
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
    // Two local names that are equal in NFC are the same name in the network, so the second file would replace the
    // first.
    const text = name.normalize('NFC')
    if (taken.has(text)) {
      onFault(
        parts.join('/'),
        new CliError('exists', 'another name in this folder is the same text in other code points: rename one of them')
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
