import type { Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** A file or folder of this machine, on its way in. */
export interface LocalItem {
  local: string
  /** Below the folder that was walked, as parts. */
  parts: string[]
  kind: 'file' | 'directory'
  size: number
  modified: Date
  mode: number
}

/**
 * Everything below a folder, folders before what is in them. What is neither file nor folder (a link, a socket) is
 * handed to `onSkipped`: following links would leave the folder.
 */
export async function* walkLocal(
  folder: string,
  onSkipped: (name: string, why: string) => void,
  parts: string[] = []
): AsyncGenerator<LocalItem> {
  for (const entry of await namesIn(folder)) {
    const name = entry.name.toString('utf8')
    if (!Buffer.from(name, 'utf8').equals(entry.name)) {
      onSkipped(name, 'its name is not UTF-8')
      continue
    }
    const local = join(folder, name)
    if (!entry.isFile() && !entry.isDirectory()) {
      onSkipped(name, 'it is neither a file nor a folder')
      continue
    }
    const { size, mtime, mode } = await stat(local)
    const item = { local, parts: [...parts, name], size, modified: mtime, mode: mode & 0o777 }
    yield { ...item, kind: entry.isFile() ? 'file' : 'directory' }
    if (entry.isDirectory()) yield* walkLocal(local, onSkipped, item.parts)
  }
}

async function namesIn(folder: string): Promise<Array<Dirent<Buffer>>> {
  const entries = await readdir(folder, { withFileTypes: true, encoding: 'buffer' })
  return entries.sort((a, b) => Buffer.compare(a.name, b.name))
}
