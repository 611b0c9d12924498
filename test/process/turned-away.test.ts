import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { JOIN_BYTES_MAX, JOIN_PROTOCOL, NONCE_BYTES } from '../../src/members/constants.ts'
import { ATTEMPTS_PER_PRIVATE_ORIGIN_MAX } from '../../src/members/joining/constants.ts'
import { fromHex } from '../../src/util/bytes.ts'
import { systemChance } from '../../src/util/chance.ts'
import { systemClock } from '../../src/util/clock.ts'
import { serveCalls } from '../../src/wire/calls.ts'
import { RefusedError } from '../../src/wire/errors.ts'
import { Libp2pHost } from '../../src/wire/libp2p-host.ts'
import { startProcess } from '../fixtures/daemon-process.ts'
import { drawCandidate, Entrant } from '../fixtures/entrant.ts'
import { silentLogger } from '../fixtures/logger.ts'
import { temporaryFolder } from '../fixtures/nodes.ts'
import { jsonLines, type Result, runProgram } from '../fixtures/program.ts'

const timeout = 240_000

interface Founder {
  folder: string
  dataDir: string
  address: string
  network: string
}

async function founder(t: TestContext): Promise<Founder> {
  const folder = await temporaryFolder(t)
  const dataDir = join(folder, 'attic')
  const { multiaddrs, network } = await startProcess(t, ['--data-dir', dataDir, '--name', 'attic', '--new']).event(
    'ready'
  )
  return { folder, dataDir, address: (multiaddrs as string[])[0] as string, network: network as string }
}

const dfs = (dataDir: string, ...args: string[]): Promise<Result> => runProgram('dfs', ['--data-dir', dataDir, ...args])

async function open(t: TestContext, device: Uint8Array, listen: string[], serve: (host: Libp2pHost) => void) {
  const host = await Libp2pHost.create({ deviceSeed: device, listen, logger: silentLogger })
  serve(host)
  await host.start()
  t.after(() => host.stop())
  return host
}

/** A program that knows the id of a network, which is no secret, and says that machines are not let in. */
async function impostor(t: TestContext, network: string): Promise<string> {
  const answer = async ({ fields }: { fields: Record<string, unknown> }) => {
    const hello = { network: fromHex(network), nonce: Buffer.alloc(NONCE_BYTES) }
    if (fields['do'] === 'hello') return { status: 'ok' as const, fields: hello }
    if (fields['do'] === 'enter') return { status: 'ok' as const, fields: { outcome: 'used-up', lengths: [] } }
    if (fields['do'] === 'ask') return { status: 'ok' as const }
    if (fields['do'] === 'wait') return { status: 'ok' as const, fields: { state: 'denied', lengths: [] } }
    throw new RefusedError('invalid')
  }
  const bounds = { requestBytesMax: JOIN_BYTES_MAX, responseBytesMax: JOIN_BYTES_MAX }
  const host = await open(t, systemChance.bytes(32), ['/ip4/127.0.0.1/tcp/0'], host =>
    serveCalls(host, { protocol: JOIN_PROTOCOL, ...bounds, mayAsk: () => true, answer })
  )
  return host.addresses()[0] as string
}

test('an impostor at the first address does not keep a machine out, by an invite or by approval', {
  timeout
}, async t => {
  const { folder, dataDir, address, network } = await founder(t)
  // One for each machine, since a member that dials a stranger again and again is made to pause.
  const [lie, other] = [await impostor(t, network), await impostor(t, network)]
  const file = join(folder, 'one.invite')
  assert.equal((await dfs(dataDir, 'invite', '--out', file)).code, 0)
  const phone = startProcess(t, ['--data-dir', join(folder, 'phone'), '--join', file, '--bootstrap', lie])
  await phone.event('ready')
  const { reason, message } = await phone.event('turned-away')
  assert.equal(reason, 'used-up')
  assert.equal(
    message,
    '127.0.0.1 answers that this invite has been used as often as it may be, but has not proven that it may say so: this machine goes on trying'
  )
  const bootstrap = ['--bootstrap', other, '--bootstrap', address]
  const laptop = startProcess(t, ['--data-dir', join(folder, 'laptop'), '--name', 'laptop', ...bootstrap])
  assert.equal((await laptop.event('turned-away'))['reason'], 'denied')
  // The first code was that of the impostor.
  const { code } = await laptop.event('pending', 2)
  const approved = await dfs(dataDir, 'members', 'approve', code as string, '--role', 'writer')
  assert.equal(approved.code, 0, approved.stderr)
  assert.equal((await laptop.event('ready'))['network'], network)
})

test('a machine for which there is no place is told how many wait, and shows its code once a place is free', {
  timeout
}, async t => {
  const { folder, dataDir, address } = await founder(t)
  for (let i = 0; i < ATTEMPTS_PER_PRIVATE_ORIGIN_MAX; i++) {
    const candidate = drawCandidate(systemChance)
    const host = await open(t, candidate.device, [], () => {})
    const entrant = new Entrant(host, candidate, { clock: systemClock, chance: systemChance, name: `machine ${i}` })
    await entrant.ask(await host.dial([address], { signal: AbortSignal.timeout(20_000) }))
  }
  const own = join(folder, 'laptop')
  const laptop = startProcess(t, ['--data-dir', own, '--name', 'laptop', '--bootstrap', address])
  const { reason, message } = await laptop.event('turned-away')
  assert.equal(reason, 'busy')
  assert.equal(
    message,
    '8 machines wait already at 127.0.0.1: approve or deny them there, or a place is free in 10 minutes; this machine goes on trying'
  )
  const status = await dfs(own, '--json', 'status')
  assert.deepEqual((jsonLines(status)[0] as { warnings: string[] }).warnings, [
    `this machine waits to be let in: ${message}`
  ])
  const list = await dfs(dataDir, '--json', 'members')
  const waiting = (jsonLines(list)[0] as unknown as Array<{ state: string; code: string }>).filter(
    ({ state }) => state === 'pending'
  )
  assert.equal(waiting.length, ATTEMPTS_PER_PRIVATE_ORIGIN_MAX)
  assert.equal((await dfs(dataDir, 'members', 'approve', waiting[0]?.code as string)).code, 0)
  await laptop.event('pending')
})
