import type { Ranking } from '../rank.ts'
import type { PutAsk, PutState } from './put-state.ts'

/** One step of a put: its state, the ranking of the current view, and what it asks for in this step. */
export interface Step {
  state: PutState
  ranking: Ranking
  asks: PutAsk[]
}
