import { randomBytes } from 'node:crypto'

const NAME_CHARACTERS_MAX = 32
const TEMPORARY = /^\.(dfs-get-.+|.*\.dfs-[0-9a-f]{8})$/s

/** Returns the name of a file that is being fetched: hidden, unique, and short enough for every file system. */
export function temporaryName(name: string): string {
  const start = [...name].slice(0, NAME_CHARACTERS_MAX).join('')
  return `.${start}.dfs-${randomBytes(4).toString('hex')}`
}

/** Returns true for the name of a file that a get was fetching when it was interrupted. */
export function isTemporaryName(name: string): boolean {
  return TEMPORARY.test(name)
}
