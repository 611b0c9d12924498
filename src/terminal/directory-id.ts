import { stat } from 'node:fs/promises'

/**
 * Returns what tells a directory from a copy of it: its device and inode numbers. They stay if it is renamed, and they
 * are those that every path to it shows, through links and mounts.
 */
export async function directoryId(path: string): Promise<string> {
  const { dev, ino } = await stat(path, { bigint: true })
  return `${dev}:${ino}`
}
