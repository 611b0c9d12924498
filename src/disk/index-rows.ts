import { crc32 } from 'node:zlib'
import { asBuffer, concatBytes } from '../util/bytes.ts'

/** A change to the index. All changes of a batch are applied, or none. */
export type IndexOp = { type: 'put'; key: Uint8Array; value: Uint8Array } | { type: 'del'; key: Uint8Array }

const CHECKSUM_BYTES = 4

/** Returns a key: one letter that names the table, then its parts. */
export function indexKey(table: string, ...parts: readonly Uint8Array[]): Uint8Array {
  return concatBytes(Uint8Array.of(table.charCodeAt(0)), ...parts)
}

/** Returns the change with the checksum that the database stores before each value. */
export function withChecksum(op: IndexOp): IndexOp {
  if (op.type === 'del') return op
  const { type, key, value } = op
  const row = Buffer.allocUnsafe(CHECKSUM_BYTES + value.byteLength)
  row.writeUInt32BE(checksum(key, value))
  row.set(value, CHECKSUM_BYTES)
  return { type, key, value: row }
}

/** Returns the value without its checksum, or undefined if the checksum does not match the key and the value. */
export function checkedPayload(key: Uint8Array, value: Uint8Array): Uint8Array | undefined {
  if (value.byteLength < CHECKSUM_BYTES) return undefined
  const stated = asBuffer(value).readUInt32BE()
  const payload = value.subarray(CHECKSUM_BYTES)
  return stated === checksum(key, payload) ? payload : undefined
}

/** Returns the number of bytes of the keys and values of some changes. */
export function bytesOf(ops: readonly IndexOp[]): number {
  return ops.reduce((sum, op) => sum + op.key.byteLength + (op.type === 'del' ? 0 : op.value.byteLength), 0)
}

/**
 * Returns the least key above all that start with the prefix. Table letters are far below 0xff, so there always is one.
 */
export function pastPrefix(prefix: Uint8Array): Uint8Array {
  const end = Buffer.from(prefix)
  for (let i = end.byteLength - 1; i >= 0; i--) {
    const byte = end[i] as number
    if (byte < 0xff) {
      end[i] = byte + 1
      return end.subarray(0, i + 1)
    }
  }
  return Buffer.from([0xff])
}

function checksum(key: Uint8Array, value: Uint8Array): number {
  return crc32(value, crc32(key))
}
