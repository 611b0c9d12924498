import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { must, ROOT } from '../fixtures/shell.ts'

/** What each example prints. */
const PRINTED: Record<string, RegExp> = {
  'embed.ts': /^attic met laptop\nstored on 2 members\nhello\n$/,
  'own-blockstore.ts': /^3145728 bytes are in \d sealed blocks\n$/,
  'own-transport.ts': /^over a transport of my own\nmemory\+tls\n$/
}
const FOLDER = join(ROOT, 'scripts/examples')

test('this test knows every example', () => {
  assert.deepEqual(globSync('*', { cwd: FOLDER }).sort(), Object.keys(PRINTED).sort())
})

for (const [name, printed] of Object.entries(PRINTED)) {
  test(`the example ${name} runs as it is`, async () => {
    assert.match(await must([process.execPath, join(FOLDER, name)], {}), printed)
  })
}
