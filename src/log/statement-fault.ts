import { FormatError, SealError, SignatureError } from '../format/errors.ts'
import { DfsError } from '../util/errors.ts'

/**
 * Returns true for an error that a statement itself caused. Any other error comes from the disk or the index, and says
 * nothing about the statement.
 */
export function isOfStatement(error: unknown): boolean {
  if (error instanceof FormatError || error instanceof SealError || error instanceof SignatureError) return true
  if (error instanceof DfsError) return false
  // The errors of a database have such a code.
  return error instanceof Error && !String((error as NodeJS.ErrnoException).code).startsWith('LEVEL_')
}
