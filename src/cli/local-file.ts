import { lstat, stat } from 'node:fs/promises'
import { CliError } from '../terminal/errors.ts'

/** Returns what is at a local path, if anything. For a link it returns `other`, unless links are to be followed. */
export async function kindOf(
  path: string,
  links: 'follow' | 'refuse' = 'refuse'
): Promise<'file' | 'directory' | 'other' | undefined> {
  try {
    const found = await (links === 'follow' ? stat(path) : lstat(path))
    return found.isFile() ? 'file' : found.isDirectory() ? 'directory' : 'other'
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * Returns the reason why a name from the network may not become a local name, or undefined if it may. The node has
 * already checked its names. They are checked once more before they reach a file system.
 */
export function localNameFault(name: string, platform: NodeJS.Platform = process.platform): string | undefined {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) return 'its name would lead to another folder'
  if (platform === 'win32' && /[<>:"\\|?*\p{Cc}]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/iu.test(name))
    return 'this operating system does not allow its name'
  return undefined
}

/** Returns a name from the network. Throws a `CliError` if it may not become a local name. */
export function safeName(name: string): string {
  const fault = localNameFault(name)
  if (fault !== undefined) throw new CliError('invalid', `${fault}: name a local target`)
  return name
}
