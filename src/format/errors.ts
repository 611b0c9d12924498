import { DfsError } from '../util/errors.ts'

/** Bytes that do not follow a format: truncated, not canonical, a field too long, an unknown kind. */
export class FormatError extends DfsError {
  override readonly name: string = 'FormatError'
  override readonly code = 'invalid'
}

/**
 * Sealed bytes that do not open under the given key: they were altered, or sealed under another key. No text is
 * returned.
 */
export class SealError extends DfsError {
  override readonly name = 'SealError'
  override readonly code = 'corrupt'
}

/**
 * A block name that this network does not use: another codec or hash function, or a digest that was cut. It is a
 * `FormatError` too, so that code which refuses malformed bytes also refuses bytes that hold such a name.
 */
export class ForeignCidError extends FormatError {
  override readonly name = 'ForeignCidError'
}

/** A signature that the author did not make over these bytes. */
export class SignatureError extends DfsError {
  override readonly name = 'SignatureError'
  override readonly code = 'corrupt'
}

/** A path or a name that no entry may have. */
export class PathError extends DfsError {
  override readonly name = 'PathError'
  override readonly code = 'invalid'
}
