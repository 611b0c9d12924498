import { createHmac, timingSafeEqual } from 'node:crypto'
import type { PeerId } from '../../format/peer-id.ts'
import { u32be, utf8 } from '../../util/bytes.ts'

export const PROOF_BYTES = 32
export const NONCE_BYTES = 32

/** A member's proof that it holds a block, and the nonce that the proof answers. */
export interface Proof {
  nonce: Uint8Array
  /** Empty if the member lacks the block. */
  proof: Uint8Array
}

/**
 * Computes the proof to one asker that a keeper has a block's bytes now: the HMAC-SHA-256, with the asker's nonce as
 * the key, of both peer ids (each preceded by its length in 32 bits) and the block. It proves only possession at that
 * moment: a dishonest keeper could have fetched the block just to answer.
 */
export function possessionProofOf(nonce: Uint8Array, asker: PeerId, keeper: PeerId, bytes: Uint8Array): Uint8Array {
  const mac = createHmac('sha256', nonce)
  for (const part of [utf8(asker), utf8(keeper)]) mac.update(u32be(part.byteLength)).update(part)
  return mac.update(bytes).digest()
}

/**
 * Returns true if a keeper's proof is the one that `possessionProofOf` computes from the asker's own copy of the block.
 */
export function isProof({ nonce, proof }: Proof, asker: PeerId, keeper: PeerId, bytes: Uint8Array): boolean {
  return proof.byteLength === PROOF_BYTES && timingSafeEqual(proof, possessionProofOf(nonce, asker, keeper, bytes))
}
