import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  admittedWords,
  askingWords,
  countdown,
  type FirstWords,
  firstWords,
  nearbyWords,
  pendingWords
} from '../../../src/daemon/words.ts'
import { defaultDataDir } from '../../../src/terminal/data-dir.ts'

const WORDS = 'ocean gravity velvet ladder cactus prize'
const LOOPBACK = '/ip4/127.0.0.1/tcp/3000/p2p/12D3Koo'
const LAN = '/ip4/192.168.1.20/tcp/3000/p2p/12D3Koo'

const first = (changes: Partial<FirstWords> = {}): string[] =>
  firstWords({
    name: 'attic',
    role: 'admin',
    words: WORDS,
    way: 'founded',
    dataDir: defaultDataDir() as string,
    multiaddrs: [LOOPBACK, LAN],
    api: 'http://127.0.0.1:3002',
    admins: [],
    holdsKey: true,
    ...changes
  })

test('the first words of a founder say how to let the next machine in, and how to keep the key', () => {
  assert.deepEqual(first(), [
    `attic founded a new network: ${WORDS}`,
    `  data in ${defaultDataDir()}`,
    `  listening on ${LOOPBACK}`,
    `  listening on ${LAN}`,
    '  API at http://127.0.0.1:3002',
    '',
    'Use it:         npx -p dfs-node dfs status',
    `Add a machine:  npx dfs-node --bootstrap ${LAN}`,
    '                It shows a code. Let it in here: npx -p dfs-node dfs members approve CODE --role writer',
    'Keep the key:   npx -p dfs-node dfs network recovery',
    ''
  ])
})

test('the first words of others send them to an admin, and no line breaks out of its place', () => {
  const lines = first({ role: 'writer', way: 'joined', admins: ['at\ntic', 'b'], holdsKey: false, dataDir: '/a b' })
  assert.equal(lines[0], `attic joined ${WORDS}, as writer`)
  assert.equal(lines[6], "Use it:         npx -p dfs-node dfs --data-dir '/a b' status")
  assert.equal(lines[7], 'Add a machine:  on an admin (at\\u{a}tic, b): npx -p dfs-node dfs invite')
  assert.equal(
    lines.some(line => /recovery|bootstrap/.test(line)),
    false
  )
  assert.equal(first({ way: 'recovered' })[0], `attic recovered the network ${WORDS}, as admin`)
  assert.equal(first({ way: 'again' })[0], `attic is up, as admin of ${WORDS}`)
})

test('a machine that waits shows the words, where they are shown too, and the whole command with the role', () => {
  const lines = pendingWords({
    name: 'lap\x1btop',
    words: WORDS,
    code: 'K7Q2ZD',
    role: 'writer',
    where: 'at 192.168.1.20'
  })
  assert.deepEqual(lines, [
    'This machine (lap\\u{1b}top) asks to join the network',
    `    ${WORDS}`,
    'that answers at 192.168.1.20. `dfs network` shows the same words there.',
    '',
    'On a machine that is already in and an admin, run:',
    '    npx -p dfs-node dfs members approve K7Q2ZD --role writer',
    ''
  ])
  assert.equal(countdown('K7Q2ZD', 592_000), 'waiting for approval of K7Q2ZD, 9 min 52 s left')
  assert.equal(countdown('K7Q2ZD', -1), 'waiting for approval of K7Q2ZD, 0 s left')
  assert.equal(admittedWords('attic', 'writer'), 'attic let this machine in, as writer.')
  assert.equal(admittedWords(null, 'reader'), 'a member let this machine in, as reader.')
})

test('a member says who asks, with a command that works on it; a stranger controls no more than its name', () => {
  const asking = { name: 'x\r\x1b[2Kattic', code: 'K7Q2ZD', role: 'writer' }
  assert.equal(
    askingWords(asking, '/data'),
    'x\\u{d}\\u{1b}[2Kattic asks to be let in as writer: npx -p dfs-node dfs --data-dir /data members approve K7Q2ZD --role writer'
  )
})

test('a founder near another network is told its words, and how to join it instead', () => {
  assert.equal(
    nearbyWords({ words: WORDS, address: LAN }, '/data'),
    `another network is nearby: ${WORDS}. To join that one instead: stop this node, remove /data, and start npx dfs-node --bootstrap ${LAN}`
  )
  assert.match(nearbyWords({ words: null, address: null }, '/data'), /^another network is nearby\. .*ADDRESS$/)
})
