import { stat } from 'node:fs/promises'

/**
 * Returns the device and inode numbers of a directory, by which it can be told from a copy of it. They stay the same if
 * it is renamed, and are the same for every path to it, through links and mounts.
 */
export async function directoryId(path: string): Promise<string> {
  const { dev, ino } = await stat(path, { bigint: true })
  return `${dev}:${ino}`
}
