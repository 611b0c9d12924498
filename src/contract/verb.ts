import type { z } from 'zod'
import type { AbortOptions, DfsVerbs } from '../index.ts'

/**
 * A verb that is sent as one plain request. The server checks the fields with zod and calls the node; the client
 * encodes the same fields and knows the type of the answer. Every verb sends its fields in the same places:
 *
 * - `path` is the rest of the URL, if the route ends in `/*`.
 * - `ifTag` is the `If-Match` header, in quotes.
 * - All other fields are in the query of a GET or DELETE, and in a JSON object in the body of a POST.
 */
interface Route<Fields extends z.ZodObject> {
  method: 'GET' | 'POST' | 'DELETE'
  route: `/v1/${string}`
  /** A query is text, so the schema must parse its fields from text. Use a strict object for a JSON body. */
  fields: Fields
}

/** A verb with one answer. */
export interface CallVerb<Fields extends z.ZodObject = z.ZodObject, Answer = unknown> extends Route<Fields> {
  kind: 'call'
  /** Checks the fields of a request. Returns the call of the node, or undefined if the fields are wrong. */
  bind(given: unknown): ((node: DfsVerbs, options: AbortOptions) => Promise<Answer>) | undefined
}

/** A verb whose answer is a stream of lines, with one item per line. */
export interface StreamVerb<Fields extends z.ZodObject = z.ZodObject, Item = unknown> extends Route<Fields> {
  kind: 'stream'
  /** As for a `CallVerb`. */
  bind(given: unknown): ((node: DfsVerbs, options: AbortOptions) => AsyncGenerator<Item>) | undefined
}

export type Verb = CallVerb | StreamVerb

/** Creates the table row of a verb that has one answer. `run` calls the method of the node. */
export function call<Fields extends z.ZodObject, Answer>(
  row: Route<Fields> & {
    run(node: DfsVerbs, fields: z.output<Fields>, options: AbortOptions): Answer | Promise<Answer>
  }
): CallVerb<Fields, Answer> {
  const { method, route, fields, run } = row
  const bind: CallVerb<Fields, Answer>['bind'] = given => {
    const parsed = fields.safeParse(given)
    return parsed.success ? async (node, options) => run(node, parsed.data, options) : undefined
  }
  return { kind: 'call', method, route, fields, bind }
}

/** Creates the table row of a verb that answers with a stream of lines. */
export function stream<Fields extends z.ZodObject, Item>(
  row: Route<Fields> & {
    run(node: DfsVerbs, fields: z.output<Fields>, options: AbortOptions): AsyncGenerator<Item>
  }
): StreamVerb<Fields, Item> {
  const { method, route, fields, run } = row
  const bind: StreamVerb<Fields, Item>['bind'] = given => {
    const parsed = fields.safeParse(given)
    return parsed.success ? (node, options) => run(node, parsed.data, options) : undefined
  }
  return { kind: 'stream', method, route, fields, bind }
}
