import type { DiskState } from './disk/monitored-files.ts'
import type { Amount, Owed } from './fs/types.ts'
import type { WorkerStatus } from './util/worker.ts'

/** The state of a node. */
export interface Status {
  peerId: string
  /** The network's id, 64 hex digits. */
  network: string
  name: string
  role: string
  /** `pending` while it waits to be let in, and `removed` once its grant no longer counts. */
  state: 'in' | 'draining' | 'full' | 'out' | 'pending' | 'removed'
  /** Six words by which people compare networks. */
  words: string
  /** The code that this node shows while it waits to be let in, if it has one. */
  code: string | null
  /** The number of machines that wait until this node lets them in. */
  waiting: number
  /** The number of files in the tree. */
  files: number
  /**
   * The names of members whose changes are still arriving, because this node has just joined or was away. The tree may be
   * incomplete meanwhile.
   */
  catchingUpWith: string[]
  /** The number of members that are connected and have shown their grants. */
  peersConnected: number
  /**
   * Copies that are not confirmed: those that this node owes but lacks, and those of its own puts that other members
   * owe. `waitingFor` are these members, and `files` is the number of files that were put here and are not yet on enough
   * members.
   */
  owed: Owed & { files: number }
  /** Blocks that this node is pulling from other members at the moment. */
  repairing: Amount
  /** Always null, because it is not estimated yet. */
  etaSeconds: number | null
  /**
   * Blocks on this node of which no other copy is known any more: the other members that had one are out, and no member
   * has confirmed a new one since. A block of which no other member ever confirmed a copy counts as owed instead.
   */
  atRisk: { blocks: number }
  /**
   * The number of bytes that this node holds (blocks, statements, claims and the index), and the number that it may hold.
   * `state` is `ok` only if changes can be stored. `cache` is always 0, because there is no cache yet.
   */
  disk: { used: number; capacity: number; cache: number; state: DiskState }
  /** What runs in the background, and how its last round ended. */
  workers: WorkerStatus[]
  /** Sentences for the owner of the node. */
  warnings: string[]
}
