import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isProof, possessionProofOf } from '../../../../src/blocks/protocol/proof.ts'

const nonce = Buffer.alloc(32, 7)
const bytes = Buffer.from('the bytes of a block')

test('a proof equals the frozen one', () => {
  assert.equal(
    Buffer.from(possessionProofOf(nonce, 'asker', 'keeper', bytes)).toString('hex'),
    '5694db9e5ceb05ec244249c71960158569e3f8fba4d0cf0cafba8c2b50891b1e'
  )
})

test('a proof is for one asker, one keeper, one nonce and one block', () => {
  const proof = possessionProofOf(nonce, 'asker', 'keeper', bytes)
  assert.ok(isProof({ proof, nonce }, 'asker', 'keeper', bytes))
  assert.ok(!isProof({ proof, nonce }, 'keeper', 'asker', bytes))
  assert.ok(!isProof({ proof, nonce }, 'askerk', 'eeper', bytes))
  assert.ok(!isProof({ proof, nonce: Buffer.alloc(32, 8) }, 'asker', 'keeper', bytes))
  assert.ok(!isProof({ proof, nonce }, 'asker', 'keeper', bytes.subarray(1)))
  assert.ok(!isProof({ proof: proof.subarray(1), nonce }, 'asker', 'keeper', bytes))
  assert.ok(!isProof({ proof: new Uint8Array(0), nonce }, 'asker', 'keeper', bytes))
})
