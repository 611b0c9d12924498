import { isUtf8 } from 'node:buffer'
import { z } from 'zod'
import type { BundleHead } from '../contract/bundle-head.ts'
import { SMALL_FILE_BYTES_MAX } from '../contract/constants.ts'
import { BUNDLE_HEAD_BYTES_MAX } from './constants.ts'
import { HttpError } from './errors.ts'

/** A file of a bundle. A bundle consists of many small files in one body. SPEC.md specifies its layout. */
export interface BundledFile {
  /** Its index in the bundle, from 0. */
  item: number
  head: BundleHead
  /** The file's bytes: a view of a buffer that other files of the bundle share. */
  bytes: Uint8Array
}

const LINE_END = 0x0a

const headSchema: z.ZodType<BundleHead> = z.strictObject({
  path: z.string(),
  size: z.number().int().nonnegative(),
  modified: z.string().optional(),
  mode: z.string().optional(),
  type: z.string().optional()
})

/**
 * Reads the files of a bundle as they arrive, and holds about one file in memory at a time. Throws an `HttpError` (400)
 * for a malformed line, a file that is too large for a bundle, or a body that ends in the middle of a file. By then,
 * all complete files before the error have been yielded.
 */
export async function* readBundle(source: Iterable<Buffer> | AsyncIterable<Buffer>): AsyncGenerator<BundledFile> {
  let item = 0
  let parts: Buffer[] = []
  let length = 0
  let head: BundleHead | undefined
  for await (const piece of source) {
    parts.push(piece)
    length += piece.byteLength
    // Pieces are joined only once a line or a file is complete, so each byte is copied only once or twice, however
    // small the pieces are.
    if (head === undefined ? length <= BUNDLE_HEAD_BYTES_MAX && !piece.includes(LINE_END) : length < head.size) continue
    let rest = parts.length === 1 ? piece : Buffer.concat(parts)
    for (;;) {
      if (head === undefined) {
        const end = rest.indexOf(LINE_END)
        if ((end < 0 ? rest.byteLength : end) > BUNDLE_HEAD_BYTES_MAX) throw malformed('a line is too long')
        if (end < 0) break
        head = parseHead(rest.subarray(0, end))
        rest = rest.subarray(end + 1)
      }
      const { size }: BundleHead = head
      if (rest.byteLength < size) break
      yield { item: item++, head, bytes: rest.subarray(0, size) }
      rest = rest.subarray(size)
      head = undefined
    }
    parts = rest.byteLength === 0 ? [] : [rest]
    length = rest.byteLength
  }
  if (head !== undefined || length > 0) throw malformed('it ends in the middle of a file')
}

function parseHead(line: Buffer): BundleHead {
  // If a malformed line were decoded anyway, two different names could become the same.
  if (!isUtf8(line)) throw malformed('a line is not UTF-8')
  let value: unknown
  try {
    value = JSON.parse(line.toString('utf8'))
  } catch {
    // No cause: the message of JSON.parse quotes the input.
    throw malformed('a line is not JSON')
  }
  const parsed = headSchema.safeParse(value)
  if (!parsed.success) throw malformed('a line has missing, wrong or unknown fields')
  if (parsed.data.size > SMALL_FILE_BYTES_MAX)
    throw malformed(`a file of more than ${SMALL_FILE_BYTES_MAX} bytes needs a request of its own`)
  return parsed.data
}

function malformed(why: string): HttpError {
  return new HttpError(400, 'invalid', `the bundle is malformed: ${why}`)
}
