import { DfsError } from '../util/errors.ts'

/**
 * Bytes that do not follow a format: they are truncated or not canonical, a field is too long, or the kind is unknown.
 */
export class FormatError extends DfsError {
  override readonly name: string = 'FormatError'
  override readonly code = 'invalid'
}

/**
 * Sealed bytes that do not open under the given key, because they were altered or sealed under another key. No part of
 * the text is returned.
 */
export class SealError extends DfsError {
  override readonly name = 'SealError'
  override readonly code = 'corrupt'
}

/**
 * A block name that this network does not use: it has another codec or hash function, or its digest was cut. It is also
 * a `FormatError`, so that code which refuses malformed bytes also refuses bytes that contain such a name.
 */
export class ForeignCidError extends FormatError {
  override readonly name = 'ForeignCidError'
}

/** An invite token that was altered or cut: it begins like one, but its parts do not fit together. */
export class InviteAlteredError extends DfsError {
  override readonly name = 'InviteAlteredError'
  override readonly code = 'corrupt'

  constructor(options?: ErrorOptions) {
    super('this invite was altered or cut: copy the file again', options)
  }
}

/** The author did not make this signature over these bytes. */
export class SignatureError extends DfsError {
  override readonly name = 'SignatureError'
  override readonly code = 'corrupt'
}

/** A path or a name that no entry may have. */
export class PathError extends DfsError {
  override readonly name = 'PathError'
  override readonly code = 'invalid'
}
