/**
 * The form in which answers describe a failure: a stable code for programs and a sentence for people. `path` says what
 * the sentence is about, unless it is the path that the request names.
 */
export interface Failure {
  code: string
  message: string
  path?: string | undefined
}

/**
 * Returns the failure that a value describes, or undefined if it describes none: `{error}` is the body of an answer that
 * refuses a request, and the last line of a stream that breaks off. It needs no library, because `dfs` starts with it.
 */
export function failureIn(value: unknown): Failure | undefined {
  const { code, message, path } = (value as { error?: Partial<Failure> } | null)?.error ?? {}
  if (typeof code !== 'string' || typeof message !== 'string') return undefined
  return { code, message, ...(typeof path === 'string' ? { path } : {}) }
}
