import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setUpDfs } from '../../fixtures/dfs.ts'
import { jsonLines } from '../../fixtures/program.ts'

const ID = '12D3KooWM4FymJfA7y8d4CnqsShFVuhHy34tsyoi7cWP'
const HOUR_MS = 3_600_000

test('peers tells machines of one name apart, and shows one that was away for an hour only with --all', async t => {
  const { node, dfs } = await setUpDfs(t)
  const away = { role: 'writer', state: 'in' as const, connected: false, latencyMs: null, via: null }
  const ago = (ms: number): Date => new Date(Date.now() - ms)
  node.others = [
    { ...away, peerId: `${ID}aaaaaaaa`, name: 'vm', connected: true, lastSeen: ago(0), latencyMs: 1.2, via: 'tcp+tls' },
    { ...away, peerId: `${ID}bbbbbbbb`, name: 'vm', state: 'out', lastSeen: ago(5 * 60_000) },
    { ...away, peerId: `${ID}cccccccc`, name: 'vm', lastSeen: ago(2 * HOUR_MS) },
    { ...away, peerId: `${ID}dddddddd`, name: 'at\ntic', lastSeen: null }
  ]
  const { stdout, stderr } = await dfs(['peers'])
  assert.deepEqual(stdout.toString().trimEnd().split('\n'), [
    'NAME  ROLE    STATE  LAST SEEN  CONNECTED BY  LATENCY  PEER',
    'vm    writer  in     now        tcp+tls       1 ms     …aaaaaaaa',
    'vm    writer  out    5 min ago  -             -        …bbbbbbbb'
  ])
  assert.equal(stderr, '2 members were not seen for an hour: dfs peers --all shows them\n')
  const all = (await dfs(['peers', '--all'])).stdout.toString().trimEnd().split('\n')
  assert.deepEqual(
    all.slice(3).map(line => line.split(/\s{2,}/).slice(0, 4)),
    [
      ['vm', 'writer', 'in', '2 h ago'],
      ['at\\u{a}tic', 'writer', 'in', 'never']
    ]
  )
  const [listed] = jsonLines(await dfs(['peers', '--json'])) as unknown as [unknown[]]
  assert.equal(listed.length, 2)
})
