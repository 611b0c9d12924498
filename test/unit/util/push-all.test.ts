import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { pushAll } from '../../../src/util/push-all.ts'

const SRC = join(import.meta.dirname, '../../../src')

test('appends more items than a call can have arguments', () => {
  const list = [0]
  pushAll(list, new Array<number>(1_000_000).fill(1))
  assert.equal(list.length, 1_000_001)
})

/** Files that spread a list into the arguments of `push` or `Math.max`, and what bounds the list. */
const BOUNDED: Record<string, string> = {
  'catalog/sealed-entries.ts': 'one entry',
  'cli/removed-text.ts': 'a text for each of the few ways in which members follow',
  'format/seal-file.ts': 'the manifest nodes that one chunk completes',
  'log/positions.ts': 'the lineages that a member keeps',
  'log/receiver.ts': 'the statements of one message',
  'members/joining/joining-peers.ts': 'the two times of one timer',
  'members/joining/peer-machine.ts': 'the times of one peer',
  'wire/socket-tls.ts': 'the messages of one read'
}

test('no code passes a list without a bound as arguments', () => {
  const found = globSync('**/*.ts', { cwd: SRC }).filter(file =>
    /^[^*\n]*(\.push\(\.\.\.|\.unshift\(\.\.\.|Math\.(max|min)\((\w+, )?\.\.\.)/m.test(
      readFileSync(join(SRC, file), 'utf8')
    )
  )
  assert.deepEqual(found.sort(), Object.keys(BOUNDED))
})
