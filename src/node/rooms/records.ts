import type { RecordRef } from '../../blocks/record-ref.ts'
import { cidOf } from '../../catalog/projection.ts'
import { type EntryRecord, readRecord } from '../../format/entry.ts'
import { FormatError } from '../../format/errors.ts'
import { peerIdOf } from '../../format/peer-id.ts'
import { decodeReplicas } from '../../format/replicas.ts'
import type { Statement } from '../../format/statement.ts'
import { type Log, REST } from '../../log/log.ts'
import type { LoggedStatement } from '../../log/projection.ts'

/**
 * Yields every record that has blocks and whose id is greater than `after`, in the form that the blocks room needs and in
 * the order of the ids. Records that were set aside are among them, if they can be read.
 */
export async function* allRecords(
  log: Log,
  nodeCodecs: readonly number[],
  after: Uint8Array
): AsyncGenerator<RecordRef> {
  for await (const logged of log.all(REST, after)) {
    try {
      yield* refsIn(logged, nodeCodecs)
    } catch (error) {
      // A record that cannot be read was set aside for that reason, and names no blocks.
      if (!(error instanceof FormatError && log.isAside(logged.statement.id))) throw error
    }
  }
}

/**
 * Yields the records that were set aside and have blocks. They do not count, so nothing has claimed their roots. A later
 * release may count them, so their blocks are kept like those of any other record.
 */
export async function* recordsSetAside(log: Log, nodeCodecs: readonly number[]): AsyncGenerator<RecordRef> {
  for await (const logged of log.setAside()) {
    try {
      yield* refsIn(logged, nodeCodecs)
    } catch (error) {
      if (!(error instanceof FormatError)) throw error
    }
  }
}

function refsIn({ statement, author }: LoggedStatement, nodeCodecs: readonly number[]): RecordRef[] {
  return statement.kind === 'entry' ? refOf(readRecord(statement as Statement<'entry'>, author, nodeCodecs)) : []
}

/**
 * Returns a list with the record in the form that the blocks room needs. The list is empty if the record has no blocks.
 */
export function refOf(record: EntryRecord): RecordRef[] {
  const root = cidOf(record)
  if (root === undefined) return []
  return [{ id: record.id, root, replicas: decodeReplicas(record.replicas), author: peerIdOf(record.stamp.author) }]
}
