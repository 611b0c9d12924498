import { hash as cryptoHash } from 'node:crypto'
import { blake3 as nativeBlake3 } from '@napi-rs/blake-hash'
import { asBuffer } from '../util/bytes.ts'

/** A hash function of 32-byte digests, and the code that multihash gives it. */
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
 * The hash that new blocks are named by and that seals are bound with. BLAKE3, because hashing every byte twice (plain
 * text into the seal, sealed bytes into the name) is what a put spends most of its own time on: SPEC.md has the pair of
 * measurements. Blocks named by SHA-256 are read all the same.
 */
export const contentHash: HashFunction = blake3

export const HASHES: readonly HashFunction[] = [blake3, sha256]
