/** How files are put. */
export interface PutRules {
  noClobber?: boolean | undefined
  /** A number or `all`, as are the copies that must be durable first. */
  replicas?: string | undefined
  ack?: string | undefined
}

/** What is said of a file besides its bytes. */
export interface PutFacts {
  modified?: Date | undefined
  mode?: number | undefined
  /** Media type. */
  type?: string | undefined
}

export interface PutFields extends PutRules, PutFacts {
  /** Bytes of the body, if it is a stream whose length is known for sure. */
  size?: number | undefined
}

/** The rules as the API reads them. */
export function queryOf({ noClobber, replicas, ack }: PutRules): URLSearchParams {
  const query = new URLSearchParams()
  if (noClobber === true) query.set('noClobber', 'true')
  if (replicas !== undefined) query.set('replicas', replicas)
  if (ack !== undefined) query.set('ack', ack)
  return query
}

/** The facts as the API reads them: RFC 3339, and octal. */
export function textsOf({ modified, mode, type }: PutFacts): { modified?: string; mode?: string; type?: string } {
  return {
    ...(modified === undefined ? {} : { modified: modified.toISOString() }),
    ...(mode === undefined ? {} : { mode: mode.toString(8) }),
    ...(type === undefined ? {} : { type })
  }
}
