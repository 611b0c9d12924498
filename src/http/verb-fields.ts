import { z } from 'zod'
import type { Verb } from '../contract/verb.ts'
import { isPlainField } from '../contract/verb-request.ts'
import { HttpError } from './errors.ts'

/** The fields of a verb as they were received, from the places that contract/verb.ts describes. */
export interface ReceivedFields {
  path?: string
  ifTag?: string
  query: URLSearchParams
  /** The parsed body of a POST. */
  json?: unknown
}

/** Checks the fields of the requests of one verb. */
export class VerbFields {
  readonly #verb: Verb
  readonly #schema: z.ZodObject
  /** The names of the fields that are in the query, or in the JSON body of a POST. */
  readonly #plain: readonly string[]

  constructor(verb: Verb) {
    this.#verb = verb
    this.#schema = verb.fields(z)
    this.#plain = Object.keys(this.#schema.shape).filter(name => isPlainField(verb, name))
  }

  /** True if the verb reads `If-Match`. */
  get takesTag(): boolean {
    return 'ifTag' in this.#schema.shape
  }

  get takesBody(): boolean {
    return this.#verb.method === 'POST' && this.#plain.length > 0
  }

  /**
   * Returns the checked fields. If a name occurs twice in the query, the first value is used. Throws an `HttpError`
   * (400) if a field is missing, wrong or unknown.
   */
  check(received: ReceivedFields): Record<string, unknown> {
    const parsed = this.#schema.safeParse(this.#collect(received))
    if (parsed.success) return parsed.data
    const names = this.#plain.map(name => {
      const isOptional = this.#schema.shape[name]?.safeParse(undefined).success === true
      return isOptional ? `"${name}" (optional)` : `"${name}"`
    })
    throw new HttpError(400, 'invalid', `the fields of the request are wrong: give ${names.join(', ')}`)
  }

  #collect({ path, ifTag, query, json }: ReceivedFields): unknown {
    const placed = { ...(path === undefined ? {} : { path }), ...(ifTag === undefined ? {} : { ifTag }) }
    if (this.#plain.length === 0) return placed
    if (this.#verb.method !== 'POST') return { ...Object.fromEntries([...query].reverse()), ...placed }
    return typeof json === 'object' && json !== null && !Array.isArray(json) ? { ...json, ...placed } : json
  }
}
