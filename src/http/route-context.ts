import type { DfsNode } from '../index.ts'
import type { Transfers } from './transfers.ts'

/**
 * Logs an error that the answer does not report in full. `what` says what failed. It names a route by its pattern, because
 * a URL contains a path.
 */
export type LogError = (what: string, error: unknown) => void

/** What the handlers of every route work with. */
export interface RouteContext {
  node: DfsNode
  transfers: Transfers
  log: LogError
}
