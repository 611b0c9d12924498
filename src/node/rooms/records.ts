import type { RecordRef } from '../../blocks/record-ref.ts'
import { cidOf } from '../../catalog/projection.ts'
import { type EntryRecord, readRecord } from '../../format/entry.ts'
import { FormatError } from '../../format/errors.ts'
import { peerIdOf } from '../../format/peer-id.ts'
import { decodeReplicas } from '../../format/replicas.ts'
import type { Statement } from '../../format/statement.ts'
import type { Log } from '../../log/log.ts'

/** Yields every record that has blocks, in the form that the blocks room needs, also those that were set aside. */
export async function* allRecords(log: Log, nodeCodecs: readonly number[]): AsyncGenerator<RecordRef> {
  for await (const { statement, author } of log.all(1)) {
    if (statement.kind !== 'entry') continue
    const isAside = log.isAside(statement.id)
    try {
      for (const ref of refOf(readRecord(statement as Statement<'entry'>, author, nodeCodecs)))
        yield isAside ? { ...ref, isAside } : ref
    } catch (error) {
      // A record that cannot even be read was set aside for that, and names no blocks.
      if (!(isAside && error instanceof FormatError)) throw error
    }
  }
}

/**
 * Returns a list with the record in the form that the blocks room needs. The list is empty if the record has no blocks.
 */
export function refOf(record: EntryRecord): RecordRef[] {
  const root = cidOf(record)
  if (root === undefined) return []
  return [{ id: record.id, root, replicas: decodeReplicas(record.replicas), author: peerIdOf(record.stamp.author) }]
}
