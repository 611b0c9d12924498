import { hash as cryptoHash } from 'node:crypto'
import { blake3 as nativeBlake3 } from '@napi-rs/blake-hash'
import { asBuffer } from '../util/bytes.ts'

/** A hash function with digests of 32 bytes, and its multihash code. */
export interface HashFunction {
  readonly name: 'blake3' | 'sha2-256'
  readonly code: number
  digest(bytes: Uint8Array): Uint8Array
}

export const DIGEST_BYTES = 32

export const blake3: HashFunction = {
  name: 'blake3',
  code: 0x1e,
  digest: bytes => nativeBlake3(asBuffer(bytes))
}

export const sha256: HashFunction = {
  name: 'sha2-256',
  code: 0x12,
  digest: bytes => cryptoHash('sha256', bytes, 'buffer')
}

/**
 * The hash function for the names of new blocks and for the seal. It is BLAKE3, because a put hashes every byte twice
 * (plain text for the seal, sealed bytes for the name), and this takes most of its processing time. SPEC.md has the
 * measurements. Blocks that are named by SHA-256 can be read too.
 */
export const contentHash: HashFunction = blake3

export const HASHES: readonly HashFunction[] = [blake3, sha256]
