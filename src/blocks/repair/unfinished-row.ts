import { z } from 'zod'
import { decodeOwn, encodeCanonical } from '../../format/canonical.ts'
import { fieldsOfRecord, recordFields, recordOfFields } from '../hold/record-codec.ts'
import type { RecordRef } from '../record-ref.ts'

/**
 * The work that is still to be done for a record. If a record has no such row, all blocks that it needs here are here.
 */
export interface Unfinished {
  /**
   * The wall-clock time from which the record is to be walked; `Infinity` if only `lacking` calls for a walk. It is 0
   * until the first walk has reached the end of the manifest: until then, blocks here may lack a reference.
   */
  dueAtMs: number
  /** The first chunk that may be missing. All chunks before it are done, and another walk begins here. */
  position: number
  /** The blocks that the last walk could not bring here; undefined if nothing was missing. */
  lacking: Lacking | undefined
}

export interface Lacking {
  /** The wall-clock time since which blocks may be unknown, or since which only chunks are missing. See `hidesBlocks`. */
  sinceMs: number
  /** True if the last walk ended before the end of the manifest because its turn was over. */
  isCut: boolean
  chunks: number
  /** The number of manifest nodes that could not be obtained. It is not known which blocks are below them. */
  nodes: number
}

/** A record that has not been walked yet. */
export const NEW: Unfinished = { dueAtMs: 0, position: 0, lacking: undefined }

/** Returns true for a record that may have blocks here to which nothing refers yet. */
export function isNew({ dueAtMs }: Unfinished): boolean {
  return dueAtMs === 0
}

/** Returns true if it is not known yet which blocks a record needs, since not all of its manifest has been walked. */
export function hidesBlocks(lacking: Lacking | undefined): boolean {
  return lacking !== undefined && (lacking.nodes > 0 || lacking.isCut)
}

const natural = z.number().int().nonnegative()
const rowSchema = z.object({
  ...recordFields,
  due: natural.optional(),
  position: natural.default(0),
  since: natural.optional(),
  lacking: z.tuple([natural, natural]).optional(),
  cut: z.literal(true).optional()
})

/** Encodes the row of a record. */
export function encodeUnfinished(record: RecordRef, { dueAtMs, position, lacking }: Unfinished): Uint8Array {
  return encodeCanonical({
    ...fieldsOfRecord(record),
    ...(Number.isFinite(dueAtMs) ? { due: Math.floor(dueAtMs) } : {}),
    ...(position > 0 ? { position } : {}),
    ...(lacking === undefined ? {} : { since: Math.floor(lacking.sinceMs), lacking: [lacking.chunks, lacking.nodes] }),
    ...(lacking?.isCut === true ? { cut: true } : {})
  })
}

/** Decodes a row, which says which record it is about and what is still to be done for it. */
export function decodeUnfinished(
  id: Uint8Array,
  value: Uint8Array,
  nodeCodec: number
): { record: RecordRef; unfinished: Unfinished } {
  const { due, position, since = 0, lacking, cut = false, ...fields } = rowSchema.parse(decodeOwn(value))
  return {
    record: recordOfFields(id, fields, nodeCodec),
    unfinished: {
      dueAtMs: due ?? Number.POSITIVE_INFINITY,
      position,
      lacking: lacking === undefined ? undefined : { sinceMs: since, isCut: cut, chunks: lacking[0], nodes: lacking[1] }
    }
  }
}
