import type { DfsNode } from '../index.ts'
import type { Transfers } from './transfers.ts'

/** Is told of an error that no answer reports in full, and of what failed. */
export type LogError = (what: string, error: unknown) => void

/** What the handlers of every route work with. */
export interface RouteContext {
  node: DfsNode
  transfers: Transfers
  log: LogError
}
