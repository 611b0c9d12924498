import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { networkKeyWords } from '../../src/index.ts'
import { type DaemonProcess, LOCAL, startProcess } from '../fixtures/daemon-process.ts'
import { temporaryFolder, until } from '../fixtures/nodes.ts'
import { jsonLines, type Result, runProgram } from '../fixtures/program.ts'

const timeout = 240_000

const dfs = (dataDir: string, ...args: string[]): Promise<Result> =>
  runProgram('dfs', ['--data-dir', dataDir, '--json', ...args])

async function answer<T = Record<string, unknown>>(dataDir: string, ...args: string[]): Promise<T> {
  const result = await dfs(dataDir, ...args)
  assert.equal(result.code, 0, result.stderr)
  return jsonLines(result)[0] as T
}

interface Founder {
  folder: string
  dataDir: string
  daemon: DaemonProcess
  address: string
  network: string
}

async function founder(t: TestContext, args: readonly string[] = ['--new']): Promise<Founder> {
  const folder = await temporaryFolder(t)
  const dataDir = join(folder, 'attic')
  const daemon = startProcess(t, ['--data-dir', dataDir, '--name', 'attic', ...args])
  const { multiaddrs, network } = await daemon.event('ready')
  return { folder, dataDir, daemon, address: (multiaddrs as string[])[0] as string, network: network as string }
}

const invite = async ({ dataDir, folder }: Founder, name: string, ...args: string[]): Promise<string> => {
  const file = join(folder, name)
  await answer(dataDir, 'invite', '--out', file, ...args)
  return file
}

interface Item {
  peerId: string
  name: string
  role: string
  state: string
  admittedBy: { name: string } | null
}
const members = (dataDir: string): Promise<Item[]> => answer<Item[]>(dataDir, 'members')

const refusal = (dataDir: string, args: string[], input?: Buffer): Promise<Result> =>
  runProgram('dfs-node', [...LOCAL, '--data-dir', dataDir, ...args], { input })

test('a machine that is started with an address alone shows a code, waits, and is a member once an admin approves it', {
  timeout
}, async t => {
  const { folder, dataDir, daemon, address, network } = await founder(t)
  const own = join(folder, 'laptop')
  const laptop = startProcess(t, ['--data-dir', own, '--name', 'laptop', '--bootstrap', address])
  const pending = await laptop.event('pending')
  const { code, words } = pending as { code: string; words: string } & typeof pending
  assert.match(code, /^[0-9A-HJKMNP-TV-Z]{6}$/)
  assert.deepEqual([pending['network'], pending['role']], [network, 'writer'])
  assert.equal(pending['command'], `npx -p dfs-node dfs members approve ${code} --role writer`)
  assert.equal((await answer(dataDir, 'network'))['words'], words)
  assert.deepEqual(await daemon.event('asking'), { event: 'asking', code, name: 'laptop', role: 'writer' })

  const status = await answer(own, 'status')
  assert.deepEqual([status['state'], status['code'], status['words']], ['pending', code, words])
  for (const command of [['ls'], ['put', join(folder, 'attic/format.json'), '/f'], ['members'], ['peers']]) {
    const { code: exit, stderr } = await dfs(own, ...command)
    if (command[0] !== 'peers') assert.equal(exit, 4, `${command} ${stderr}`)
    if (command[0] !== 'peers') assert.match(stderr, new RegExp(`dfs members approve ${code} --role writer`))
  }
  assert.equal(
    laptop.events.some(({ event }) => event === 'ready'),
    false
  )

  // People read codes aloud, so how a code is written does not matter.
  const typed = `${code.slice(0, 3).toLowerCase()}-${code.slice(3)}`
  const admitted = await answer(dataDir, 'members', 'approve', typed, '--role', 'writer')
  const ready = await laptop.event('ready')
  assert.deepEqual([ready['network'], ready['peerId']], [network, admitted['peerId']])
  const list = await members(own)
  const mine = list.find(({ peerId }) => peerId === ready['peerId'])
  assert.deepEqual([mine?.role, mine?.state, mine?.admittedBy?.name], ['writer', 'in', 'attic'])
  assert.deepEqual(
    (await readdir(own)).filter(name => /candidate|first-start/.test(name)),
    []
  )

  // It is a member for good: it starts again without any flag.
  await laptop.stop()
  const again = startProcess(t, ['--data-dir', own])
  assert.equal((await again.event('ready'))['peerId'], ready['peerId'])
  await until('connected again', async () => (await answer(own, 'status'))['peersConnected'] === 1)
})

test('a machine that is turned away ends with exit code 4, and leaves its folder as it was', { timeout }, async t => {
  const { folder, dataDir, address } = await founder(t)
  const own = join(folder, 'laptop')
  await mkdir(own)
  await chmod(own, 0o755)
  const laptop = startProcess(t, ['--data-dir', own, '--bootstrap', address, '--role', 'reader'])
  const { code, role } = await laptop.event('pending')
  assert.equal(role, 'reader')
  await answer(dataDir, 'members', 'deny', code as string)
  assert.equal(await laptop.exited, 4)
  assert.match(laptop.stderr, /turned this machine away/)
  assert.deepEqual([(await stat(own)).mode & 0o777, await readdir(own)], [0o755, []])
})

test('a machine that is approved at the moment at which it is stopped says what is true, and is in at its next start', {
  timeout
}, async t => {
  const { folder, dataDir, address } = await founder(t)
  const own = join(folder, 'laptop')
  const laptop = startProcess(t, ['--data-dir', own, '--bootstrap', address])
  const { code } = await laptop.event('pending')
  // The approval and the signal both wait for it, and it sees them in the same turn, in any order.
  laptop.child.kill('SIGSTOP')
  await answer(dataDir, 'members', 'approve', code as string)
  laptop.child.kill('SIGTERM')
  laptop.child.kill('SIGCONT')
  const exit = await laptop.exited
  const isMember = (await readdir(own)).includes('keystore')
  assert.equal(exit, isMember ? 0 : 1, laptop.stderr)
  if (!isMember) assert.match(laptop.stderr, /start it again to ask again, or to enter if it has just been approved/)
  const again = startProcess(t, ['--data-dir', own, '--bootstrap', address])
  await again.event('ready')
  assert.ok(!again.events.some(({ event }) => event === 'pending'))
})

test('a machine that is killed or stopped while it waits asks again with the same keys, and becomes one member', {
  timeout
}, async t => {
  const { folder, dataDir, address } = await founder(t)
  const own = join(folder, 'laptop')
  const args = ['--data-dir', own, '--name', 'laptop', '--bootstrap', address]
  const codes = new Set<unknown>()
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    const laptop = startProcess(t, args)
    codes.add((await laptop.event('pending'))['code'])
    const code = await laptop.stop(signal)
    if (signal === 'SIGTERM') {
      assert.equal(code, 1)
      assert.match(laptop.stderr, /nothing was joined/)
      assert.deepEqual(
        (await members(dataDir)).map(({ state }) => state),
        ['in']
      )
    }
    assert.ok((await readdir(own)).includes('candidate'))
  }
  const laptop = startProcess(t, args)
  const { code } = await laptop.event('pending')
  codes.add(code)
  assert.equal(codes.size, 3)
  const waiting = (await members(dataDir)).filter(({ state }) => state === 'pending')
  assert.equal(waiting.length, 1)
  const { peerId } = await answer(dataDir, 'members', 'approve', code as string)
  assert.equal((await laptop.event('ready'))['peerId'], peerId)
  assert.equal((await members(dataDir)).length, 2)
  // Without `--role`, approval makes a reader.
  assert.equal((await members(dataDir)).find(({ name }) => name === 'laptop')?.role, 'reader')
})

test('a machine that is killed at any moment while an invite lets it in ends as one member', {
  timeout: 400_000
}, async t => {
  const kills = 10
  const home = await founder(t)
  const { folder, dataDir } = home
  // If a machine drew new keys, it would take a second use of the invite, and the last machine would get none.
  const file = await invite(home, 'all.invite', '--uses', String(kills))
  for (let kill = 0; kill < kills; kill++) {
    const own = join(folder, `m${kill}`)
    const args = ['--data-dir', own, '--name', `m${kill}`, '--join', file]
    const first = startProcess(t, args)
    await until('its keys on the disk', async () => (await readdir(own)).some(name => /candidate|keystore/.test(name)))
    await new Promise(resolve => setTimeout(resolve, kill * 20))
    await first.stop('SIGKILL')
    const again = startProcess(t, args)
    await again.event('ready')
    assert.deepEqual(
      (await readdir(own)).filter(name => /candidate|first-start/.test(name)),
      []
    )
    await again.stop()
  }
  const list = await members(dataDir)
  assert.equal(list.length, kills + 1)
  assert.equal(new Set(list.map(({ name }) => name)).size, kills + 1)
})

test('a machine that waits when the admin restarts shows a new code, and is let in with it', { timeout }, async t => {
  const { folder, dataDir, daemon, address } = await founder(t)
  const port = /tcp\/(\d+)/.exec(address)?.[1] as string
  const laptop = startProcess(t, ['--data-dir', join(folder, 'laptop'), '--bootstrap', address])
  const first = await laptop.event('pending')
  await daemon.stop('SIGKILL')
  const again = startProcess(t, ['--data-dir', dataDir, '--listen', `/ip4/127.0.0.1/tcp/${port}`])
  await again.event('ready')
  const second = await laptop.event('pending', 2)
  assert.notEqual(first['code'], second['code'])
  await answer(dataDir, 'members', 'approve', second['code'] as string)
  await laptop.event('ready')
})

test('an invite lets in as many machines as it may, by a file and by stdin, and every other use has its own error', {
  timeout
}, async t => {
  const home = await founder(t)
  const { folder, dataDir, network } = home
  const file = await invite(home, 'one.invite')
  const token = await readFile(file, 'utf8')
  const first = startProcess(t, ['--data-dir', join(folder, 'first'), '--join', file])
  assert.equal((await first.event('ready'))['network'], network)
  const reader = await readFile(await invite(home, 'reader.invite', '--role', 'reader'), 'utf8')
  const second = startProcess(t, ['--data-dir', join(folder, 'second'), '--join', '-'], { stdin: reader })
  await second.event('ready')
  assert.deepEqual((await members(dataDir)).map(({ role }) => role).sort(), ['admin', 'reader', 'writer'])

  const revoked = await invite(home, 'revoked.invite')
  await answer(dataDir, 'invite', '--revoke', revoked)
  const foreign = await founder(t)
  const elsewhere = await invite(foreign, 'foreign.invite')
  await foreign.daemon.stop()
  const altered = join(folder, 'altered.invite')
  await writeFile(altered, token.replace(/\.(..)/, '.AA'), { mode: 0o600 })
  const cut = join(folder, 'cut.invite')
  await writeFile(cut, token.slice(0, 200), { mode: 0o600 })
  const nothing = join(folder, 'nothing')
  await writeFile(nothing, 'hello', { mode: 0o600 })
  const before = (await readdir(folder)).sort()
  const ways: Array<[code: number, text: RegExp, args: string[], input?: Buffer]> = [
    [4, /as often as it may/, ['--join', file]],
    [4, /revoked/, ['--join', revoked]],
    [4, /belongs to another network than this invite/, ['--join', elsewhere, '--bootstrap', home.address]],
    [6, /altered or cut/, ['--join', altered]],
    [6, /altered or cut/, ['--join', cut]],
    [2, /holds no invite/, ['--join', nothing]],
    [2, /holds no invite/, ['--join', '-'], Buffer.from('')],
    [3, /there is no such file/, ['--join', join(folder, 'none')]],
    [2, /--new/, ['--join', file, '--new']],
    [2, /--role is for/, ['--join', file, '--role', 'reader']],
    [2, /exclude each other/, ['--join', file, '--network-key-file', nothing]]
  ]
  for (const [code, text, args, input] of ways) {
    const result = await refusal(join(folder, 'new/data'), args, input)
    assert.equal(result.code, code, `${args} ${result.stderr}`)
    assert.match(result.stderr, text)
    assert.deepEqual((await readdir(folder)).sort(), before, String(args))
  }

  // On the directory of a member the flag is only checked, and it needs no invite.
  await first.stop()
  const needless = startProcess(t, ['--data-dir', join(folder, 'first'), '--join', altered])
  await needless.event('ready')
  assert.match(needless.stderr, /the invite in the file named by --join cannot be used: .* starts without it/)
  await needless.stop()
  const useless: Array<[args: string[], subject: RegExp]> = [
    [['--join', nothing], /the invite in the file named by --join cannot be used/],
    [['--join', folder], /the invite in the file named by --join cannot be used/],
    [['--join', '-'], /the invite on stdin cannot be used/],
    [['--network-key-file', join(folder, 'none')], /the key in the file named by --network-key-file is missing/],
    [['--network-key-file', nothing], /the key in the file named by --network-key-file cannot be used/],
    [['--recover'], /what was given for --recover cannot be used/]
  ]
  for (const [args, subject] of useless) {
    const member = startProcess(t, ['--data-dir', join(folder, 'first'), ...args])
    await member.event('ready')
    assert.match(member.stderr, subject)
    await member.stop()
  }
  const other = await refusal(join(folder, 'first'), ['--join', elsewhere])
  assert.deepEqual([other.code, /another network than this invite/.test(other.stderr)], [2, true], other.stderr)
  const again = startProcess(t, ['--data-dir', join(folder, 'first'), '--join', join(folder, 'none')])
  await again.event('ready')
  assert.match(again.stderr, /the invite in the file named by --join is missing/)
})

test('--invite-out writes an invite that is valid before the API answers, and replaces one whose addresses lead nowhere', {
  timeout
}, async t => {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'out.invite')
  const own = join(folder, 'attic')
  const start = (...args: string[]): DaemonProcess =>
    startProcess(t, ['--data-dir', own, '--invite-out', file, ...args])
  const first = start('--new')
  await first.event('ready')
  const token = await readFile(file, 'utf8')
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  await first.stop()
  const second = start()
  // It listens on another port now, so the addresses in the invite led nowhere.
  await second.event('ready')
  const fresh = await readFile(file, 'utf8')
  assert.notEqual(fresh, token)
  const states = (await answer<Array<{ state: string }>>(own, 'invite', '--list')).map(({ state }) => state)
  assert.deepEqual(states, ['open', 'revoked'])
  for (const name of ['b', 'c']) {
    const joined = startProcess(t, ['--data-dir', join(folder, name), '--join', file])
    await joined.event('ready')
    await joined.stop()
  }
  await second.stop()

  // The founder's volume was lost, so the invite is that of a network that is gone.
  const anew = startProcess(t, ['--data-dir', join(folder, 'anew'), '--new', '--invite-out', file])
  await anew.event('ready')
  assert.notEqual(await readFile(file, 'utf8'), fresh)
  await anew.stop()

  await writeFile(file, 'a letter')
  const refused = await refusal(join(folder, 'new'), ['--new', '--invite-out', file])
  assert.deepEqual([refused.code, await readFile(file, 'utf8')], [2, 'a letter'], refused.stderr)
  assert.equal((await readdir(folder)).includes('new'), false)
  const writer = await refusal(join(folder, 'b'), ['--invite-out', join(folder, 'none')])
  assert.equal(writer.code, 4, writer.stderr)
})

test('the 24 words make an admin of the same network, which lets other machines in', { timeout }, async t => {
  const { folder, dataDir, daemon, network } = await founder(t)
  const { networkKey } = (
    JSON.parse(await readFile(join(dataDir, 'keystore'), 'utf8')) as {
      secrets: { networkKey: string }
    }
  ).secrets
  await daemon.stop()
  const words = networkKeyWords(Buffer.from(networkKey, 'hex'))
  const bad = await refusal(join(folder, 'bad'), ['--recover'], Buffer.from(words.split(' ').slice(1).join(' ')))
  assert.equal(bad.code, 2, bad.stderr)
  assert.equal((await readdir(folder)).includes('bad'), false)

  const own = join(folder, 'recovered')
  const recovered = startProcess(t, ['--data-dir', own, '--recover'], { stdin: `${words}\n` })
  const ready = await recovered.event('ready')
  assert.equal(ready['network'], network)
  assert.equal((await readFile(join(own, 'keystore'), 'utf8')).includes(networkKey), false)
  const [address] = ready['multiaddrs'] as string[]
  const laptop = startProcess(t, ['--data-dir', join(folder, 'laptop'), '--bootstrap', address as string])
  const { code } = await laptop.event('pending')
  await answer(own, 'members', 'approve', code as string, '--role', 'storage')
  assert.equal((await laptop.event('ready'))['network'], network)
})

test('a machine that asks a member which is not an admin is told to ask an admin', { timeout }, async t => {
  const home = await founder(t)
  const { folder } = home
  const file = await invite(home, 'writer.invite')
  const writer = startProcess(t, ['--data-dir', join(folder, 'writer'), '--join', file])
  const [address] = (await writer.event('ready'))['multiaddrs'] as string[]
  const { code, stderr } = await refusal(join(folder, 'laptop'), ['--bootstrap', address as string])
  assert.equal(code, 4, stderr)
  assert.match(stderr, /no admin answers/)
  assert.equal((await readdir(folder)).includes('laptop'), false)
  // With the address of an admin behind it, the machine finds the admin.
  const both = ['--bootstrap', address as string, '--bootstrap', home.address]
  await startProcess(t, ['--data-dir', join(folder, 'laptop'), ...both]).event('pending')
})

test('a machine that waits keeps its keys sealed, and says aloud that it believes an address without a peer id', {
  timeout
}, async t => {
  const { folder, dataDir, address } = await founder(t)
  const own = join(folder, 'laptop')
  const passphrase = join(folder, 'passphrase')
  await writeFile(passphrase, 'correct horse\n', { mode: 0o600 })
  const bare = address.replace(/\/p2p\/.*/, '')
  const args = ['--data-dir', own, '--bootstrap', bare, '--passphrase-file', passphrase]
  const laptop = startProcess(t, args)
  const { code, words } = await laptop.event('pending')
  assert.match(laptop.stderr, /could let this machine into a network of their own/)
  assert.ok(laptop.stderr.includes(words as string), laptop.stderr)
  assert.deepEqual(Object.keys(JSON.parse(await readFile(join(own, 'candidate'), 'utf8'))), [
    'v',
    'scrypt',
    'nonce',
    'box'
  ])
  await answer(dataDir, 'members', 'approve', code as string, '--role', 'writer')
  const { peerId } = await laptop.event('ready')
  assert.deepEqual(Object.keys(JSON.parse(await readFile(join(own, 'keystore'), 'utf8'))), [
    'v',
    'scrypt',
    'nonce',
    'box'
  ])
  // Keys that were handed over later are in the sealed keystore too.
  await writeFile(join(folder, 'letter'), 'dear')
  await until('it can write', async () => (await dfs(own, 'put', join(folder, 'letter'), '/letter')).code === 0)
  await laptop.stop()
  const again = startProcess(t, args)
  assert.equal((await again.event('ready'))['peerId'], peerId)
  await until('the file is read', async () => (await dfs(own, 'cat', '/letter')).stdout.toString() === 'dear')
})
