import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setUpDfs } from '../../fixtures/dfs.ts'

const MIB = 1 << 20

test('gc says what it freed, and with --dry-run what it would free and why', async t => {
  const { node, dfs } = await setUpDfs(t)
  const some = (blocks: number) => ({ blocks, bytes: blocks * MIB })
  node.hooks.gc = async ({ dryRun = false } = {}) => ({
    ...some(6),
    dryRun,
    plan: dryRun ? { released: some(3), endedPuts: some(2), surplus: some(1) } : null,
    stays: dryRun
      ? [
          { reason: 'uncertain', until: null, author: null, amount: null },
          { reason: 'incomplete', until: null, author: 'cellar', amount: null },
          { reason: 'promised', until: new Date(2026, 0, 2, 3, 4), author: null, amount: null },
          { reason: 'unclean', until: new Date(2026, 0, 2, 3, 4), author: null, amount: null },
          { reason: 'unproven', until: null, author: null, amount: some(2) },
          { reason: 'puts', until: new Date(2026, 0, 2, 3, 4), author: null, amount: null }
        ]
      : [],
    certain: !dryRun,
    unreadable: dryRun ? 2 : 0
  })
  const planned = await dfs(['gc', '--dry-run'])
  assert.equal(
    planned.stdout.toString(),
    [
      'would free 6.0 MiB (6 blocks)',
      '  of deleted files and old versions                     3.0 MiB',
      '  of uploads that were cut off or ended without a file  2.0 MiB',
      '  copies that other members owe, if they prove theirs   1.0 MiB\n'
    ].join('\n')
  )
  const words = planned.stderr.replaceAll(/\s+/g, ' ')
  assert.match(words, /nothing is freed at the moment.*files by cellar are incomplete.*2 parts.*dfs fsck/)
  assert.match(words, /no copies are freed until 2026-01-02 03:04.*2\.0 MiB \(2 blocks\) that other members owe stay/)
  assert.match(
    words,
    /nothing claims, if there are any, stay until 2026-01-02 03:04: this node was not stopped cleanly/
  )
  assert.match(words, /stay until 2026-01-02 03:04 at the latest/)
  const json = JSON.parse((await dfs(['--json', 'gc', '--dry-run'])).stdout.toString())
  assert.deepEqual([json.plan.endedPuts, json.stays.length], [some(2), 6])
  const done = await dfs(['gc'])
  assert.equal(done.stdout.toString(), 'freed 6.0 MiB (6 blocks)\n')
  assert.equal(done.stderr, '')
})

test('fsck exits with 6 and names the files if something is lost', async t => {
  const { node, dfs } = await setUpDfs(t)
  const clean = await dfs(['fsck'])
  assert.deepEqual([clean.code, clean.stdout.toString()], [0, '3 blocks checked, 0 damaged, 0 repairs, 0 lost\n'])
  const lost = [
    { path: '/a', cid: 'bafy1', more: 0 },
    { path: '/b', cid: 'bafy1', more: 0 },
    { path: '/c', cid: 'bafy2', more: 3 },
    { path: null, cid: 'bafy3', more: 0 }
  ]
  node.hooks.fsck = async () => {
    return { checked: 3, corrupt: 2, unneeded: 1, repaired: 1, lost, lostCount: 3, away: ['x'], certain: true }
  }
  const { code, stdout, stderr } = await dfs(['fsck', '--read-data'])
  assert.equal(code, 6)
  assert.equal(
    stdout.toString(),
    '3 blocks checked, 2 damaged (1 of them in no file: they are freed in time), 1 repair, 3 lost\nlost: /a (block bafy1)\nlost: /b (block bafy1)\nlost: /c and 3 more (block bafy2)\nlost: an old version or a removed file (block bafy3)\n'
  )
  assert.match(stderr, /members that are away may have them \(1\)/)
  assert.ok(node.calls.some(({ call }) => call.includes('fsck')))
  const json = await dfs(['--json', 'fsck'])
  assert.equal(json.code, 6)
  assert.deepEqual(JSON.parse(json.stdout.toString()).lost, lost)
})

test('df shows each member and what takes up space here, and du the space of a path', async t => {
  const { dfs } = await setUpDfs(t)
  const lines = (await dfs(['df'])).stdout.toString().split('\n')
  assert.match(lines[0] as string, /^MEMBER +STATE +OFFERS +USED$/)
  assert.match(lines[1] as string, /^attic \(this machine\) +in +1\.0 GiB +1\.0 MiB$/)
  assert.match(lines[2] as string, /^cellar +full +stores nothing +-$/)
  assert.ok(lines.some(line => /^ {2}files +1\.0 MiB$/.test(line)))
  const { stdout } = await dfs(['du', '/d'])
  assert.equal(stdout.toString(), '/d: 2.9 KiB in 2 files, 3.0 KiB of it on this machine, 1000 B in old versions\n')
})
