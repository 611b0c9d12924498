import { encodePath } from './routes.ts'
import type { Verb } from './verb.ts'

/** The encoded request of a verb, ready to be sent. */
export interface EncodedRequest {
  method: string
  /** The URL without its host. */
  url: string
  headers: Record<string, string>
  body?: Uint8Array
}

/** The fields of a verb as they were received, from the places that verb.ts describes. */
export interface ReceivedFields {
  path?: string
  ifTag?: string
  query: URLSearchParams
  /** The parsed body of a POST. */
  json?: unknown
}

/** Returns true if the rest of the verb's URL is its `path`. */
export function hasPath({ route }: Verb): boolean {
  return route.endsWith('/*')
}

/** Returns the names of the fields that are in the query, or in the JSON body of a POST. */
export function plainFieldsOf(verb: Verb): string[] {
  return Object.keys(verb.fields.shape).filter(name => name !== 'ifTag' && !(name === 'path' && hasPath(verb)))
}

/**
 * Encodes the fields of a verb as a request, each in the place that verb.ts describes. All text must be well-formed
 * Unicode.
 */
export function encodeRequest(verb: Verb, fields: Readonly<Record<string, unknown>>): EncodedRequest {
  const { method, route } = verb
  const names = plainFieldsOf(verb)
  const path = hasPath(verb) ? route.slice(0, -'/*'.length) + encodePath(String(fields['path'])) : route
  const headers: Record<string, string> = fields['ifTag'] === undefined ? {} : { 'if-match': `"${fields['ifTag']}"` }
  if (names.length === 0) return { method, url: path, headers }
  const given = names.filter(name => fields[name] !== undefined).map((name): [string, unknown] => [name, fields[name]])
  if (method === 'POST') {
    const body = Buffer.from(JSON.stringify(Object.fromEntries(given)))
    return { method, url: path, headers: { ...headers, 'content-type': 'application/json' }, body }
  }
  const query = new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)]))
  return { method, url: `${path}?${query}`, headers }
}

/**
 * Collects received fields for `bind`, which checks them. If a name occurs twice in the query, the first value is used.
 */
export function collectFields(verb: Verb, { path, ifTag, query, json }: ReceivedFields): unknown {
  const placed = { ...(path === undefined ? {} : { path }), ...(ifTag === undefined ? {} : { ifTag }) }
  if (plainFieldsOf(verb).length === 0) return placed
  if (verb.method !== 'POST') return { ...Object.fromEntries([...query].reverse()), ...placed }
  return typeof json === 'object' && json !== null && !Array.isArray(json) ? { ...json, ...placed } : json
}
