import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KeepState } from '../../../../src/blocks/protocol/store-messages.ts'
import { InlineBlock } from '../../../../src/blocks/put/inline-block.ts'

function watched() {
  let freed = 0
  const answers: Array<PromiseWithResolvers<KeepState>> = []
  const client = {
    keepBlock: () => {
      const answer = Promise.withResolvers<KeepState>()
      answers.push(answer)
      return answer.promise
    },
    keepRoot: () => Promise.reject(new Error('not used'))
  }
  const block = new InlineBlock(client, () => freed++)
  // The requests are passed on as they are.
  const ask = (): Promise<KeepState> => block.keepBlock('peer', {} as never)
  return { block, ask, answers, freed: () => freed }
}

test('the bytes of a small block are free once, when the put has ended and every request is answered', async () => {
  const { block, ask, answers, freed } = watched()
  const asked = [ask(), ask()]
  answers[0]?.resolve('added')
  await asked[0]
  block.end()
  assert.equal(freed(), 0)
  answers[1]?.resolve('lacking')
  assert.deepEqual(await Promise.all(asked), ['added', 'lacking'])
  assert.equal(freed(), 1)
  block.end()
  assert.equal(freed(), 1)
})

test('bytes that a failed request may still send are never free', async () => {
  const { block, ask, answers, freed } = watched()
  const asked = ask()
  answers[0]?.reject(new Error('gone'))
  await assert.rejects(asked, /gone/)
  block.end()
  assert.equal(freed(), 0)
})

test('without any request, the bytes are free at the end', () => {
  const { block, freed } = watched()
  assert.equal(freed(), 0)
  block.end()
  assert.equal(freed(), 1)
})
