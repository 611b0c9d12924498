import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  admittedWords,
  askingWords,
  countdown,
  type FirstWords,
  firstWords,
  joinCommand,
  nearbyWords,
  pendingWords,
  seekingWords,
  unreachableWords
} from '../../../src/daemon/words.ts'
import { defaultDataDir } from '../../../src/terminal/data-dir.ts'
import { programHere } from '../../../src/terminal/program-here.ts'

/** How `dfs` is run here. */
const HERE = programHere('dfs')
const NODE = programHere('dfs-node')
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
    isRemoved: false,
    isAlone: true,
    checkedFlags: [],
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
    `Use it:         ${HERE} status`,
    `Add a machine:  npx dfs-node --bootstrap ${LAN}`,
    `                It shows a code. Let it in here: ${HERE} members approve CODE --role writer`,
    `Keep the key:   ${HERE} network recovery`,
    ''
  ])
})

test('the first words of others send them to an admin, and no line breaks out of its place', () => {
  const lines = first({
    role: 'writer',
    way: 'joined',
    isAlone: false,
    admins: ['at\ntic', 'b'],
    holdsKey: false,
    dataDir: '/a b'
  })
  assert.equal(lines[0], `attic joined ${WORDS}, as writer`)
  assert.equal(lines[6], `Use it:         ${HERE} --data-dir '/a b' status`)
  assert.equal(lines[7], 'Add a machine:  on an admin (at\\u{a}tic, b): npx -p dfs-node dfs invite')
  assert.equal(
    lines.some(line => /recovery|bootstrap/.test(line)),
    false
  )
  assert.equal(first({ way: 'recovered' })[0], `attic recovered the network ${WORDS}, as admin`)
  assert.equal(first({ way: 'again' })[0], `attic is up, as admin of ${WORDS}`)
})

test('a machine that is no member any more is told so at each start, and how to come back', () => {
  const lines = first({ way: 'again', role: 'writer', isRemoved: true, holdsKey: false, checkedFlags: ['--join'] })
  assert.equal(lines[0], `attic is no member of ${WORDS} any more`)
  assert.ok(lines.includes('  only checked, since this directory is that of a member already: --join'))
  assert.ok(lines.some(line => line.startsWith('Join again:     stop this node, remove ')))
  assert.equal(
    lines.some(line => /Add a machine|has answered/.test(line)),
    false
  )
})

test('a machine that has just become a member is told if no other member is connected', () => {
  const isTold = (changes: Partial<FirstWords>): boolean =>
    first(changes).some(line => line.includes('no other member is connected yet'))
  assert.deepEqual([isTold({ way: 'recovered' }), isTold({ way: 'joined' })], [true, true])
  assert.deepEqual(
    [isTold({ way: 'recovered', isAlone: false }), isTold({}), isTold({ way: 'again' })],
    [false, false, false]
  )
})

test('a machine that waits shows the words, where else they are shown, and the whole command with the role', () => {
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
    `x\\u{d}\\u{1b}[2Kattic asks to be let in as writer. If it shows the code K7Q2ZD: ${HERE} --data-dir /data members approve K7Q2ZD --role writer`
  )
})

test('a founder near another network is told its words, and how to join it instead', () => {
  assert.equal(
    nearbyWords({ words: WORDS, address: LAN }, '/data'),
    `another network is nearby: ${WORDS}. To join that one instead: stop this node, remove /data, and start ${NODE} --data-dir /data --bootstrap ${LAN}`
  )
  assert.match(nearbyWords({ words: null, address: null }, '/data'), /^another network is nearby\. .*ADDRESS$/)
})

test('a machine that asks to be let in says at once where it asks, and later what is wrong there', () => {
  assert.equal(seekingWords([]), 'Looking for networks nearby…')
  assert.equal(seekingWords(['attic:3000']), 'Asking at attic:3000…')
  assert.equal(seekingWords(['a:1', 'b:2', 'c:3', 'd:4', 'e:5']), 'Asking at a:1, b:2, c:3 and 2 more…')
  assert.equal(
    unreachableWords({ address: 'attic:3000', reason: 'nothing listens there' }),
    'no way in at attic:3000: nothing listens there; trying again'
  )
})

test('the command that joins a network is whole, with the data directory if it is not the usual one', () => {
  assert.equal(
    joinCommand('/ip4/1.2.3.4/tcp/3000/p2p/X', '/tmp/a b'),
    `${NODE} --data-dir '/tmp/a b' --bootstrap /ip4/1.2.3.4/tcp/3000/p2p/X`
  )
})
