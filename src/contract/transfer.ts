import type { Failure } from './errors.ts'

/** The state of a download: how it ended, or that it is still under way. */
export interface Transfer {
  done: boolean
  /** The members that delivered bytes, and how many. It is empty until `done` is true. */
  from: Array<{ peerId: string; bytes: number }>
  error?: Failure | undefined
}
