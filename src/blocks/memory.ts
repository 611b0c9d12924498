import { Budget } from '../util/budget.ts'
import type { Clock } from '../util/clock.ts'
import {
  GET_BYTES_MAX,
  HEDGE_BYTES_MAX,
  LENT_MS_MAX,
  PULL_BYTES_MAX,
  PULL_PEER_BYTES_MAX,
  PUT_BYTES_MAX,
  PUT_OWN_BYTES_MAX,
  SERVE_BYTES_MAX,
  SERVE_PEER_BYTES_MAX
} from './constants.ts'

/**
 * The memory that the bytes of blocks may take, with one budget for each kind of work. Work takes a lease before it has
 * a block in memory, so all puts, gets, pulls and answers of this process together stay within the sum.
 *
 * The budgets are separate because these kinds of work wait for each other across members. A put here ends when a
 * keeper has pulled its blocks: it waits for the pulls of another member, and these for the answers that we serve. If
 * pulls took from the same bytes as puts, two members that put to each other could each fill their memory with puts,
 * and neither could pull the blocks that the other waits for. With separate budgets every wait goes one way, and the
 * last one always makes progress:
 *
 *   put → pull of a keeper → answer of ours → the keeper's socket, which is read because its pull has its lease already
 *   get → answer of another member → our socket, likewise
 *
 * Within one budget nothing waits for a lease while it holds one of the same kind that others need to be released:
 * - a put takes the lease of a chunk when the chunk's first bytes have come, and passes it on with the sealed block,
 *   which is placed without waiting for the next chunk; manifest nodes take a lease of their own while they are placed,
 *   and of the `PUT_WINDOW_BLOCKS` blocks in the window all but a few (one for each level of the manifest) do not need
 *   another one;
 * - a get holds leases for blocks that it has read ahead, but releases these whenever anybody waits, and takes the
 *   next one that it needs only when the reader has come back for it;
 * - a pull and an answer take one lease each.
 *
 * Two waits lead out of the process: for a client that writes to a put, and for one that reads from a get. Those leases
 * are lent, and taken back after `LENT_MS_MAX` if others wait. The same rule ends the deadlock of a program that reads a
 * file from its node and writes it to the node as it comes.
 *
 * Peers take turns, and a part of the budget of pulls and answers is for those that hold nothing. So a peer that is
 * slow to deliver or to read delays only its own requests.
 */
export class Memory {
  readonly puts: Budget
  readonly gets: Budget
  readonly pulls = new Budget({
    bytesMax: PULL_BYTES_MAX,
    ownerBytesMax: PULL_PEER_BYTES_MAX,
    reservedBytes: PULL_BYTES_MAX - PULL_PEER_BYTES_MAX
  })
  readonly serves = new Budget({
    bytesMax: SERVE_BYTES_MAX,
    ownerBytesMax: SERVE_PEER_BYTES_MAX,
    reservedBytes: SERVE_BYTES_MAX - SERVE_PEER_BYTES_MAX
  })
  /** For the answer of a second source of a block, if the first is slow. Nobody waits for it. */
  readonly hedges = new Budget({ bytesMax: HEDGE_BYTES_MAX })

  constructor(clock: Clock) {
    const lending = { clock, msMax: LENT_MS_MAX }
    const reservedBytes = PUT_BYTES_MAX - PUT_OWN_BYTES_MAX
    this.puts = new Budget({ bytesMax: PUT_BYTES_MAX, ownerBytesMax: PUT_OWN_BYTES_MAX, reservedBytes, lending })
    this.gets = new Budget({ bytesMax: GET_BYTES_MAX, lending })
  }
}
