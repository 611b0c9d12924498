import { DfsError } from '../util/errors.ts'

/** Bytes that do not follow a format: truncated, not canonical, a field too long, a kind we do not know. */
export class FormatError extends DfsError {
  override readonly name: string = 'FormatError'
  override readonly code = 'invalid'
}

/** Sealed bytes that do not open under the key at hand: altered, or another key's. Nothing of them is released. */
export class SealError extends DfsError {
  override readonly name = 'SealError'
  override readonly code = 'corrupt'
}

/**
 * A block name that this network does not use: a foreign codec, an exotic or cut-off hash. It is a `FormatError` too:
 * whoever refuses bytes that follow no format refuses those that hold such a name.
 */
export class ForeignCidError extends FormatError {
  override readonly name = 'ForeignCidError'
}

/** A signature that is not the author's over these bytes. */
export class SignatureError extends DfsError {
  override readonly name = 'SignatureError'
  override readonly code = 'corrupt'
}

/** A path or a name that no entry may have. */
export class PathError extends DfsError {
  override readonly name = 'PathError'
  override readonly code = 'invalid'
}
