import { DfsError } from '../util/errors.ts'

/** Bytes that do not follow a format: truncated, not canonical, a field too long, a kind we do not know. */
export class FormatError extends DfsError {
  override readonly name = 'FormatError'
  override readonly code = 'invalid'
}

/** Sealed bytes that do not open under the key at hand: altered, or another key's. Nothing of them is released. */
export class SealError extends DfsError {
  override readonly name = 'SealError'
  override readonly code = 'corrupt'
}

/** A block name that this network does not use: a foreign codec, an exotic or cut-off hash. */
export class ForeignCidError extends DfsError {
  override readonly name = 'ForeignCidError'
  override readonly code = 'invalid'
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
