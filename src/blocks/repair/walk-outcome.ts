/** The findings of a walk, updated while it goes on. */
export interface WalkOutcome {
  /** The number of chunks that are owed here and could not be brought here. */
  missingChunks: number
  /** The number of manifest nodes that could not be obtained. It is not known which blocks are below them. */
  missingNodes: number
  /** The first chunk that may be missing, or that the walk has not reached yet; `Infinity` if there is none. */
  position: number
  /** The wall-clock time from which an evicted chunk is owed again; `Infinity` if none was evicted. */
  owedAgainAtMs: number
  /** True if chunks are here that the record does not want here. */
  hasSurplus: boolean
  /** True if the walk ended early because its turn was over. */
  isCut: boolean
  /** The number of chunks that the walk pulled. */
  pulled: number
  /** The number of claims that the walk wrote because they were not there. */
  claimed: number
}

/** Returns the outcome of a walk that has found nothing yet. */
export function newOutcome(): WalkOutcome {
  return {
    missingChunks: 0,
    missingNodes: 0,
    position: Number.POSITIVE_INFINITY,
    owedAgainAtMs: Number.POSITIVE_INFINITY,
    hasSurplus: false,
    isCut: false,
    pulled: 0,
    claimed: 0
  }
}

/** Returns true if the walk left blocks missing, or unseen because its turn was over. */
export function isMissing({ missingChunks, missingNodes, isCut }: WalkOutcome): boolean {
  return missingChunks + missingNodes > 0 || isCut
}
