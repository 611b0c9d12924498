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

/** Returns true if the rest of the verb's URL is its `path`. */
export function hasPath({ route }: Verb): boolean {
  return route.endsWith('/*')
}

/** Returns true for a field that is in the query, or in the JSON body of a POST. */
export function isPlainField(verb: Verb, name: string): boolean {
  return name !== 'ifTag' && !(name === 'path' && hasPath(verb))
}

/**
 * Encodes the fields of a verb as a request, each in the place that verb.ts describes. All text must be well-formed
 * Unicode. A POST always has a body, because the client does not know whether the server expects fields.
 */
export function encodeRequest(verb: Verb, fields: Readonly<Record<string, unknown>>): EncodedRequest {
  const { method, route } = verb
  const path = hasPath(verb) ? route.slice(0, -'/*'.length) + encodePath(String(fields['path'])) : route
  const headers: Record<string, string> = fields['ifTag'] === undefined ? {} : { 'if-match': `"${fields['ifTag']}"` }
  const given = Object.entries(fields).filter(([name, value]) => value !== undefined && isPlainField(verb, name))
  if (method === 'POST') {
    const body = Buffer.from(JSON.stringify(Object.fromEntries(given)))
    return { method, url: path, headers: { ...headers, 'content-type': 'application/json' }, body }
  }
  if (given.length === 0) return { method, url: path, headers }
  const query = new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)]))
  return { method, url: `${path}?${query}`, headers }
}
