import { isUtf8 } from 'node:buffer'
import { type BundleHead, bundleHeadSchema } from '../contract/bundle-head.ts'
import { SMALL_FILE_BYTES_MAX } from '../contract/constants.ts'
import { BUNDLE_HEAD_BYTES_MAX } from './constants.ts'
import { HttpError } from './errors.ts'

/**
 * Many small files in one stream, which saves a request each: of every file a line of JSON, then its bytes. SPEC.md has
 * the fields.
 */

export interface BundledFile {
  /** Its place in the bundle, from 0. */
  item: number
  head: BundleHead
  /** A view of what came, with others in the same memory. */
  bytes: Uint8Array
}

/**
 * Takes a bundle apart as it comes, a file in memory at a time. Errors: 400 for a line that is none, a file that is too
 * large for a bundle, and an end in the middle; what came whole before that has been given.
 */
export async function* readBundle(source: Iterable<Buffer> | AsyncIterable<Buffer>): AsyncGenerator<BundledFile> {
  let item = 0
  let parts: Buffer[] = []
  let length = 0
  let head: BundleHead | undefined
  for await (const piece of source) {
    parts.push(piece)
    length += piece.byteLength
    // Joined only once there is something to take: however small the pieces, each byte is copied once or twice.
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

const LINE_END = 0x0a

function parseHead(line: Buffer): BundleHead {
  // Decoded all the same, two names that are none would become one.
  if (!isUtf8(line)) throw malformed('a line is not UTF-8')
  let value: unknown
  try {
    value = JSON.parse(line.toString('utf8'))
  } catch {
    throw malformed('a line is not JSON')
  }
  const parsed = bundleHeadSchema.safeParse(value)
  if (!parsed.success) throw malformed('a line has other fields than it should')
  if (parsed.data.size > SMALL_FILE_BYTES_MAX)
    throw malformed(`a file of more than ${SMALL_FILE_BYTES_MAX} bytes is put by itself`)
  return parsed.data
}

function malformed(what: string): HttpError {
  return new HttpError(400, 'invalid', `the bundle is malformed: ${what}`)
}
