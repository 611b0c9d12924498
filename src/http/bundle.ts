import { isUtf8 } from 'node:buffer'
import { z } from 'zod'
import type { BundleHead } from '../contract/bundle-head.ts'
import { SMALL_FILE_BYTES_MAX } from '../contract/constants.ts'
import { returnBuffer, takeBuffer } from '../util/buffer-pool.ts'
import { BUNDLE_HEAD_BYTES_MAX } from './constants.ts'
import { HttpError } from './errors.ts'

/** A file of a bundle. A bundle consists of many small files in one body. SPEC.md specifies its layout. */
export interface BundledFile {
  /** Its index in the bundle, from 0. */
  item: number
  head: BundleHead
  /** The file's bytes. Other files of the bundle may share their memory. */
  bytes: Uint8Array
  /** Call it when nobody uses the bytes any more, so that their memory can be used again. Not calling it does no harm. */
  release: () => void
}

/** A file of which not all bytes have come. */
interface PartialFile {
  head: BundleHead
  buffer: Buffer
  length: number
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
 *
 * A file that lies within one piece of the body is not copied. The bytes of any other are copied once.
 */
export async function* readBundle(source: Iterable<Buffer> | AsyncIterable<Buffer>): AsyncGenerator<BundledFile> {
  let item = 0
  // The beginning of a line. It is joined once, however small the pieces are.
  let line: Buffer[] = []
  let lineBytes = 0
  let partial: PartialFile | undefined
  for await (const piece of source) {
    let rest = piece
    while (rest.byteLength > 0) {
      if (partial === undefined) {
        const end = rest.indexOf(LINE_END)
        const part = end < 0 ? rest : rest.subarray(0, end)
        lineBytes += part.byteLength
        if (lineBytes > BUNDLE_HEAD_BYTES_MAX) throw malformed('a line is too long')
        line.push(part)
        if (end < 0) break
        const head = parseHead(line.length === 1 ? part : Buffer.concat(line))
        line = []
        lineBytes = 0
        rest = rest.subarray(end + 1)
        if (rest.byteLength >= head.size) {
          yield { item: item++, head, bytes: rest.subarray(0, head.size), release: nothingToDo }
          rest = rest.subarray(head.size)
          continue
        }
        partial = { head, buffer: takeBuffer(head.size), length: 0 }
      }
      const { head, buffer } = partial
      const part = rest.subarray(0, head.size - partial.length)
      buffer.set(part, partial.length)
      partial.length += part.byteLength
      rest = rest.subarray(part.byteLength)
      if (partial.length < head.size) continue
      partial = undefined
      yield { item: item++, head, bytes: buffer, release: () => returnBuffer(buffer) }
    }
  }
  if (partial !== undefined || lineBytes > 0) throw malformed('it ends in the middle of a file')
}

const nothingToDo = (): void => {}

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
