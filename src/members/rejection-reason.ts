import { RefusedError } from '../wire/errors.ts'
import { ClockOffError, DuplicateError } from './errors.ts'
import type { RejectionReason } from './types.ts'

/**
 * Returns why an attempt to join a peer failed. Returns undefined if it was not refused: a peer that too many are
 * joining answers `busy`, and we dial it again later.
 */
export function rejectionReason(error: unknown): RejectionReason | undefined {
  const status = error instanceof RefusedError ? error.status : undefined
  if (status === 'busy') return undefined
  if (status === 'clock-off' || error instanceof ClockOffError) return 'clock-off'
  if (status === 'duplicate' || error instanceof DuplicateError) return 'duplicate'
  return (error as { code?: unknown }).code === 'unreachable' ? 'unreachable' : 'refused'
}

/** Returns true if the peer says that two processes run with one identity. */
export function saysDuplicate(error: unknown): boolean {
  return error instanceof RefusedError && error.status === 'duplicate'
}
