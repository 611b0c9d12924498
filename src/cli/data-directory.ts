import { lstat, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * The file by which a data directory is known. It equals the name with the same meaning in disk/data-directory.ts, which
 * this room must not load; a test looks at a real data directory.
 */
const FORMAT_FILE = 'format.json'
const FORMAT_BYTES_MAX = 4 << 10

/**
 * Returns true if a folder is the data directory of a node; `has` says which names are in it. Such a folder holds the
 * keystore and blocks that are stored already, so it must never be put. If the format file has been lost, the names of
 * two other files show it.
 */
export async function isDataDirectory(folder: string, has: (name: string) => boolean): Promise<boolean> {
  if (has('keystore') && has('segments')) return true
  if (!has(FORMAT_FILE)) return false
  const path = join(folder, FORMAT_FILE)
  const found = await lstat(path)
  if (!found.isFile() || found.size > FORMAT_BYTES_MAX) return false
  try {
    const format = JSON.parse(await readFile(path, 'utf8')) as { layout?: unknown; storeId?: unknown } | null
    // Any layout counts, since a later version may have another one.
    return typeof format?.layout === 'number' && typeof format.storeId === 'string'
  } catch (error) {
    if (error instanceof SyntaxError) return false
    throw error
  }
}
