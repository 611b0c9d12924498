/** The blocks that a walk could not bring here, or must not bring here yet. */
export interface WalkOutcome {
  missingChunks: number
  /** The number of manifest nodes that could not be obtained. It is not known which blocks are below them. */
  missingNodes: number
  /** The wall-clock time from which an evicted chunk is owed again; `Infinity` if none was evicted. */
  owedAgainAtMs: number
}

/** Returns true if the walk left blocks missing. */
export function isMissing({ missingChunks, missingNodes }: WalkOutcome): boolean {
  return missingChunks + missingNodes > 0
}
