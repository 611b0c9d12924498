import type { z } from 'zod'
import type { AbortOptions, DfsVerbs } from '../index.ts'

export type Zod = typeof z

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
  /**
   * Builds the schema of the fields. Only a server does so: to load zod and build all schemas takes longer than
   * everything else that `dfs` does at its start. A query is text, so the schema must parse its fields from text. Use a
   * strict object for a JSON body.
   */
  fields: (z: Zod) => Fields
}

/** A verb with one answer. */
export interface CallVerb<Fields extends z.ZodObject = z.ZodObject, Answer = unknown> extends Route<Fields> {
  kind: 'call'
  /** Calls the method of the node, with fields that have been checked. */
  run(node: DfsVerbs, fields: z.output<Fields>, options: AbortOptions): Answer | Promise<Answer>
}

/** A verb whose answer is a stream of lines, with one item per line. */
export interface StreamVerb<Fields extends z.ZodObject = z.ZodObject, Item = unknown> extends Route<Fields> {
  kind: 'stream'
  /** As for a `CallVerb`. */
  run(node: DfsVerbs, fields: z.output<Fields>, options: AbortOptions): AsyncGenerator<Item>
}

export type Verb = CallVerb | StreamVerb

/** Creates the table row of a verb that has one answer. */
export function call<Fields extends z.ZodObject, Answer>(
  row: Omit<CallVerb<Fields, Answer>, 'kind'>
): CallVerb<Fields, Answer> {
  return { kind: 'call', ...row }
}

/** Creates the table row of a verb that answers with a stream of lines. */
export function stream<Fields extends z.ZodObject, Item>(
  row: Omit<StreamVerb<Fields, Item>, 'kind'>
): StreamVerb<Fields, Item> {
  return { kind: 'stream', ...row }
}
