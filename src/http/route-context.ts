import type { IncomingMessage } from 'node:http'
import type { DfsVerbs } from '../index.ts'
import type { Transfers } from './transfers.ts'

/**
 * Logs an error that the answer does not report in full. `what` says what failed. It contains the pattern of a route
 * instead of the URL, because a URL contains a path.
 */
export type LogError = (what: string, error: unknown) => void

/** The objects that the handlers of every route need. */
export interface RouteContext {
  node: DfsVerbs
  transfers: Transfers
  /** Fires when the API closes, and ends answers that have no end of their own. */
  closing: AbortSignal
  /**
   * True if a request came through the socket. The file system checks who may open the socket, and no browser can reach
   * it.
   */
  isOnSocket: (request: IncomingMessage) => boolean
  log: LogError
}
