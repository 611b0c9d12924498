import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readJoin } from '../../../src/daemon/invite-files.ts'

test('an invite that is given in the place of its file is refused and not repeated', async () => {
  const token = `dfsinvite1.${'x'.repeat(400)}.00000000`
  await assert.rejects(readJoin(token), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'usage')
    assert.match(error.message, /not the invite itself/)
    return !error.message.includes('xxx')
  })
})
