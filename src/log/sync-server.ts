import type { PeerId } from '../format/peer-id.ts'
import type { AnyStatement } from '../format/statement.ts'
import type { Request, Response } from '../wire/calls.ts'
import { RefusedError } from '../wire/errors.ts'
import { IDS_MAX, PUSH_STATEMENTS_MAX, SYNC_BYTES_MAX } from './constants.ts'
import type { StatementClass } from './keys.ts'
import type { Log } from './log.ts'
import type { News, Position, Totals } from './positions.ts'
import type { Verdict } from './projection.ts'
import { GONE, requestSchema, splitBody, splitIds } from './sync-frames.ts'

export interface SyncServerOptions {
  log: Log
  /**
   * The last check of a record that is pushed with a put. It returns `ok` only if this member has every block that it
   * is counted on for.
   */
  confirmPut: (statement: AnyStatement, put: Uint8Array, from: PeerId) => Promise<Verdict>
  /** Called when a peer has news that did not get through to this member. */
  onChanged: (peer: PeerId) => void
}

/**
 * Answers one request of `/dfs/sync/1.0.0`. Throws a `RefusedError` if the fields of the request make no sense, and a
 * `ProtocolError` if its body does not match them.
 */
export async function answerSync(
  { log, confirmPut, onChanged }: SyncServerOptions,
  request: Request
): Promise<Response> {
  const { peer, body } = request
  const parsed = requestSchema.safeParse(request.fields)
  if (!parsed.success) throw new RefusedError('invalid')
  switch (parsed.data.do) {
    case 'push': {
      const { lengths, puts } = parsed.data
      const statements = splitBody(body, lengths)
      if (puts.length !== statements.length) throw new RefusedError('invalid')
      const verdicts = await log.receive(statements, peer, async (statement, i) => {
        const put = puts[i] ?? null
        return put === null ? 'ok' : confirmPut(statement, put, peer)
      })
      return { status: 'ok', fields: { verdicts } }
    }
    case 'list':
      return answerList(log, parsed.data.class, parsed.data.after ?? undefined)
    case 'news':
      return answerNews(log, parsed.data.class, { lineage: parsed.data.lineage, sequence: parsed.data.after })
    case 'fetch':
      return answerFetch(log, splitIds(body))
    case 'offer': {
      const has = await log.has(splitIds(body))
      return { status: 'ok', body: [Uint8Array.from(has, isHere => (isHere ? 0 : 1))] }
    }
    case 'changed':
      onChanged(peer)
      return { status: 'ok' }
  }
}

async function answerList(log: Log, statementClass: StatementClass, after: Uint8Array | undefined): Promise<Response> {
  const { positions } = log
  // The position comes first, so that whatever is accepted during the list is in the news after it.
  const position = positions.position()
  const ids = await log.list(statementClass, after, IDS_MAX)
  const page = { ids, next: position, isEnd: ids.length < IDS_MAX }
  return { status: 'ok', fields: pageFields(page, await positions.totals(statementClass)), body: ids }
}

async function answerNews(log: Log, statementClass: StatementClass, after: Position): Promise<Response> {
  const news = await log.positions.news(statementClass, after, IDS_MAX)
  if (news === undefined) return { status: 'ok', fields: { known: false } }
  const fields = pageFields(news, await log.positions.totals(statementClass))
  return { status: 'ok', fields: { known: true, ...fields }, body: news.ids }
}

function pageFields({ next, isEnd }: News, { count, sum }: Totals): Record<string, unknown> {
  return { lineage: next.lineage, next: next.sequence, isEnd, count, sum }
}

async function answerFetch(log: Log, ids: readonly Uint8Array[]): Promise<Response> {
  const statements = await log.bytesOf(ids.slice(0, PUSH_STATEMENTS_MAX), SYNC_BYTES_MAX)
  const body = statements.map(statement => statement ?? GONE)
  return { status: 'ok', fields: { lengths: body.map(({ byteLength }) => byteLength) }, body }
}
