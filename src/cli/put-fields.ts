/** The rules that apply to a put. */
export interface PutRules {
  noClobber?: boolean | undefined
  /** A number or `all`. */
  replicas?: string | undefined
  /** The number of copies that must be durable before the put succeeds: a number or `all`. */
  ack?: string | undefined
}

/** The facts about a file other than its bytes. */
export interface PutFacts {
  modified?: Date | undefined
  mode?: number | undefined
  /** Media type. */
  type?: string | undefined
}

export interface PutFields extends PutRules, PutFacts {
  /** The number of bytes in the body, if the body is a stream whose length is certain. */
  size?: number | undefined
}

/** Encodes the rules as the query of a put. */
export function queryOf({ noClobber, replicas, ack }: PutRules): URLSearchParams {
  const query = new URLSearchParams()
  if (noClobber === true) query.set('noClobber', 'true')
  if (replicas !== undefined) query.set('replicas', replicas)
  if (ack !== undefined) query.set('ack', ack)
  return query
}

/** Encodes the facts as the text of a query or of a bundle: times as in RFC 3339, and modes in octal. */
export function textsOf({ modified, mode, type }: PutFacts): { modified?: string; mode?: string; type?: string } {
  return {
    ...(modified === undefined ? {} : { modified: modified.toISOString() }),
    ...(mode === undefined ? {} : { mode: mode.toString(8) }),
    ...(type === undefined ? {} : { type })
  }
}
