import { decodeCbor, encodeCbor } from '../format/cbor.ts'
import { takeBuffer } from '../util/buffer-pool.ts'
import { byteLengthOf, u32be } from '../util/bytes.ts'
import { HEADER_BYTES_MAX } from './constants.ts'
import { ProtocolError } from './errors.ts'

/**
 * A header and the raw bytes that follow it. On the wire, a frame consists of both lengths (32 bits each), then the
 * header as dag-cbor, then the body unchanged.
 */
export interface Frame {
  header: unknown
  body: Uint8Array
  /** True if the receiver did not want the body. It was read and dropped, and `body` is empty. */
  isBodyDropped: boolean
}

/** Decides, before any memory is allocated, whether to keep a body of this length. It may throw a `ProtocolError`. */
export type WantsBody = (header: unknown, bodyBytes: number) => boolean

const LENGTHS_BYTES = 8
const EMPTY = new Uint8Array(0)

/** Returns the parts of a frame, to be sent in one write. The parts of the body are not copied. */
export function encodeFrame(header: unknown, body: readonly Uint8Array[] = []): Uint8Array[] {
  const bytes = encodeCbor(header)
  if (bytes.byteLength > HEADER_BYTES_MAX) throw new RangeError(`a header has at most ${HEADER_BYTES_MAX} bytes`)
  return [Buffer.concat([u32be(bytes.byteLength), u32be(byteLengthOf(body)), bytes]), ...body]
}

/**
 * Assembles frames from the pieces that the stream delivers. It checks lengths before it allocates anything, and asks
 * whether a body is wanted before it allocates the body. It copies each byte of a body once, into the array that it
 * passes on.
 */
export class FrameReader {
  readonly #bodyBytesMax: number
  readonly #onFrame: (frame: Frame) => void
  readonly #wants: WantsBody
  readonly #lengths = Buffer.alloc(LENGTHS_BYTES)
  #lengthsFilled = 0
  #header: Buffer | undefined
  #headerFilled = 0
  #bodyBytes = 0
  /** Undefined if the body is dropped. */
  #body: Uint8Array | undefined
  #bodyFilled = 0
  #value: unknown

  constructor(bodyBytesMax: number, onFrame: (frame: Frame) => void, wants: WantsBody = () => true) {
    this.#bodyBytesMax = bodyBytesMax
    this.#onFrame = onFrame
    this.#wants = wants
  }

  /** True between the first and the last byte of a frame. */
  get isPartial(): boolean {
    return this.#lengthsFilled > 0
  }

  /**
   * Takes the next bytes of the stream. Throws a `ProtocolError` if a length is over its limit or a header is
   * malformed.
   */
  push(bytes: Uint8Array): void {
    let rest = bytes
    while (rest.byteLength > 0) rest = this.#take(rest)
  }

  #take(bytes: Uint8Array): Uint8Array {
    if (this.#lengthsFilled < LENGTHS_BYTES) {
      const part = bytes.subarray(0, LENGTHS_BYTES - this.#lengthsFilled)
      this.#lengths.set(part, this.#lengthsFilled)
      this.#lengthsFilled += part.byteLength
      if (this.#lengthsFilled === LENGTHS_BYTES) this.#begin()
      return bytes.subarray(part.byteLength)
    }
    const header = this.#header
    if (header !== undefined) {
      const part = bytes.subarray(0, header.byteLength - this.#headerFilled)
      header.set(part, this.#headerFilled)
      this.#headerFilled += part.byteLength
      if (this.#headerFilled === header.byteLength) this.#endHeader(header)
      return bytes.subarray(part.byteLength)
    }
    const part = bytes.subarray(0, this.#bodyBytes - this.#bodyFilled)
    this.#body?.set(part, this.#bodyFilled)
    this.#bodyFilled += part.byteLength
    if (this.#bodyFilled === this.#bodyBytes) this.#end()
    return bytes.subarray(part.byteLength)
  }

  #begin(): void {
    const headerBytes = this.#lengths.readUInt32BE(0)
    const bodyBytes = this.#lengths.readUInt32BE(4)
    if (headerBytes === 0 || headerBytes > HEADER_BYTES_MAX)
      throw new ProtocolError('a frame with a header of an impossible length')
    if (bodyBytes > this.#bodyBytesMax) throw new ProtocolError('a frame with a body over the limit')
    this.#header = Buffer.allocUnsafe(headerBytes)
    this.#headerFilled = 0
    this.#bodyBytes = bodyBytes
    this.#bodyFilled = 0
  }

  #endHeader(bytes: Uint8Array): void {
    try {
      this.#value = decodeCbor(bytes)
    } catch (cause) {
      throw new ProtocolError('a frame with a header that is not dag-cbor', { cause })
    }
    this.#header = undefined
    if (this.#bodyBytes === 0) this.#body = EMPTY
    else this.#body = this.#wants(this.#value, this.#bodyBytes) ? takeBuffer(this.#bodyBytes) : undefined
    if (this.#bodyBytes === 0) this.#end()
  }

  #end(): void {
    const frame = { header: this.#value, body: this.#body ?? EMPTY, isBodyDropped: this.#body === undefined }
    this.#lengthsFilled = 0
    this.#body = undefined
    this.#value = undefined
    this.#onFrame(frame)
  }
}

/** Returns the fields of a header. Throws a `ProtocolError` if the header is not a map. */
export function fieldsOf(header: unknown): Record<string, unknown> & { id?: unknown; status?: unknown } {
  if (typeof header !== 'object' || header === null || Array.isArray(header))
    throw new ProtocolError('the header is not a map')
  return header as Record<string, unknown>
}
