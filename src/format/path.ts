import { BYTE_ORDER_MARK } from './canonical.ts'
import { PATH_BYTES_MAX, PATH_PART_BYTES_MAX } from './constants.ts'
import { PathError } from './errors.ts'

/** The parts of a path inside the network, each in NFC. The root is the empty list. */
export type Path = readonly string[]

/**
 * Parses a path as a user writes it. The leading slash may be missing, and one trailing slash is dropped. Throws a
 * `PathError` for empty parts, `.`, `..`, NUL, a leading U+FEFF, text that is not well-formed Unicode, and parts or
 * paths that are too long. The text that `formatPath` returns is parsed as the same path.
 */
export function parsePath(text: string): Path {
  // A program in JavaScript may pass anything.
  if (typeof text !== 'string') throw new PathError('a path is a text')
  const below = text.startsWith('/') ? text.slice(1) : text
  if (below === '') return []
  const parts = (below.endsWith('/') ? below.slice(0, -1) : below).split('/').map(checkName)
  checkPathLength(parts)
  return parts
}

export function formatPath(path: Path): string {
  return `/${path.join('/')}`
}

/** Returns one part of a path in NFC. Throws a `PathError` if no entry may have this name. */
export function checkName(name: string): string {
  const normal = name.normalize('NFC')
  const fault = nameFault(normal)
  if (fault !== undefined) throw new PathError(fault)
  return normal
}

/**
 * Returns the reason why a name from another member's record may not become part of a path, or undefined if it may. It
 * is stricter than `checkName` in one respect: the name must already be in NFC. Otherwise one file would have two
 * names.
 */
export function nameFault(name: string): string | undefined {
  if (name === '') return 'a path must not have empty parts'
  if (name === '.' || name === '..') return 'a path must not have "." or ".." parts'
  if (name.includes('/')) return 'a name must not contain a slash'
  if (name.includes('\0')) return 'a name must not contain NUL'
  if (!name.isWellFormed()) return 'a name must be well-formed Unicode'
  if (name.startsWith(BYTE_ORDER_MARK)) return 'a name must not begin with U+FEFF'
  if (Buffer.byteLength(name) > PATH_PART_BYTES_MAX) return `a name must have at most ${PATH_PART_BYTES_MAX} bytes`
  if (name.normalize('NFC') !== name) return 'a name must be in Unicode normal form C'
  return undefined
}

/** Returns the number of bytes of a path as text. */
export function pathBytes(path: Path): number {
  return Buffer.byteLength(formatPath(path))
}

/** Throws a `PathError` if a path made of these parts would be too long. */
export function checkPathLength(parts: Path): void {
  if (pathBytes(parts) > PATH_BYTES_MAX) throw new PathError(`a path must have at most ${PATH_BYTES_MAX} bytes`)
}

/** Returns true if a path is below another one, or the same. */
export function isBelow(path: Path, above: Path): boolean {
  return path.length >= above.length && above.every((part, i) => part === path[i])
}

export function isSamePath(a: Path, b: Path | undefined): boolean {
  return b !== undefined && a.length === b.length && isBelow(a, b)
}
