import assert from 'node:assert/strict'
import { watch } from 'node:fs'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { NodeEvent } from '../../src/index.ts'
import { type DaemonProcess, startProcess } from '../fixtures/daemon-process.ts'
import { secretsIn } from '../fixtures/device.ts'
import { startNode, temporaryFolder, until } from '../fixtures/nodes.ts'

const timeout = 400_000
const ROLE = 'writer'

/** Resolves once a file with this name is in a directory. */
async function appears(directory: string, name: string): Promise<void> {
  const seen = Promise.withResolvers<void>()
  const watcher = watch(directory, (_, changed) => {
    if (changed === name) seen.resolve()
  })
  if ((await readdir(directory)).includes(name)) seen.resolve()
  await seen.promise
  watcher.close()
}

/** The last code that a machine has shown. */
function codeIn(events: readonly { event: string; code?: unknown }[]): string {
  return events.filter(({ event }) => event === 'pending').at(-1)?.code as string
}

interface Moment {
  name: string
  /** Resolves at the moment at which the test kills the newcomer. */
  comes: (approved: Promise<unknown>, own: string) => Promise<unknown>
}

const after = (ms: number): Moment => ({
  name: `${ms} ms after it was approved`,
  comes: async approved => {
    await approved
    await new Promise(resolve => setTimeout(resolve, ms))
  }
})

const MOMENTS: Moment[] = [
  { name: 'while the admin approves it', comes: async () => {} },
  after(0),
  ...(process.env['DFS_LONG'] === '1' ? [after(20), after(60)] : []),
  { name: 'when its grant is on its disk, and not the key', comes: (_, own) => appears(own, 'keystore') },
  { name: 'when its grant is on its disk, a moment later', comes: (_, own) => appears(own, 'index') }
]

test('a machine that is killed at any moment while a person lets it in ends as one member with its key', {
  timeout
}, async t => {
  const { node: attic } = await startNode(t, { name: 'attic', found: true })
  const folder = await temporaryFolder(t)
  for (const [i, { name, comes }] of MOMENTS.entries()) {
    const own = join(folder, `m${i}`)
    await mkdir(own)
    const args = ['--data-dir', own, '--name', `m${i}`, '--bootstrap', attic.multiaddrs[0] as string]
    const first = startProcess(t, args)
    const { code } = await first.event('pending')
    const approved = attic.approve(code as string, { role: ROLE })
    await comes(approved, own)
    await first.stop('SIGKILL')
    const { peerId } = await approved
    const again = startProcess(t, args)
    assert.equal((await again.event('ready'))['peerId'], peerId, name)
    await until(`its key, killed ${name}`, async () => (await secretsIn(own)).epochs.length === 1)
    assert.deepEqual(
      (await readdir(own)).filter(file => /candidate|first-start/.test(file)),
      [],
      name
    )
    await again.stop()
  }
  const list = await attic.members()
  assert.equal(list.length, MOMENTS.length + 1)
  assert.equal(new Set(list.map(({ name }) => name)).size, MOMENTS.length + 1)
})

/** An admin in a process of its own, which is killed and comes back at the same address. */
class Admin {
  readonly dataDir: string
  readonly #t: TestContext
  #daemon: DaemonProcess
  address = ''

  constructor(t: TestContext, folder: string) {
    this.#t = t
    this.dataDir = join(folder, 'attic')
    this.#daemon = startProcess(t, ['--data-dir', this.dataDir, '--name', 'attic', '--new'])
  }

  async ready(): Promise<void> {
    const { multiaddrs } = await this.#daemon.event('ready')
    this.address = (multiaddrs as string[])[0] as string
  }

  /** Asks it to let a machine in. Resolves to false if it ends before it has answered. */
  async approve(code: string): Promise<boolean> {
    const { url, token } = JSON.parse(await readFile(join(this.dataDir, 'api.json'), 'utf8')) as Record<string, string>
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const body = JSON.stringify({ code, role: ROLE })
    const answered = fetch(`${url}/v1/members/approve`, { method: 'POST', headers, body })
    return answered.then(
      ({ status }) => {
        assert.equal(status, 200)
        return true
      },
      () => false
    )
  }

  async kill(): Promise<void> {
    await this.#daemon.stop('SIGKILL')
  }

  async startAgain(): Promise<void> {
    const port = /tcp\/(\d+)/.exec(this.address)?.[1]
    const args = ['--data-dir', this.dataDir, '--listen', `/ip4/127.0.0.1/tcp/${port}`]
    this.#daemon = startProcess(this.#t, args)
    await this.ready()
  }
}

test('an admin that is killed at any moment while it lets a machine in comes back, and the machine gets in', {
  timeout
}, async t => {
  const folder = await temporaryFolder(t)
  const admin = new Admin(t, folder)
  await admin.ready()
  const moments: Record<string, (approved: Promise<boolean>, own: string) => Promise<unknown>> = {
    'before it has read the request': async () => {},
    'while it signs': () => new Promise(resolve => setTimeout(resolve, 8)),
    'once it has answered': approved => approved,
    'once the machine has its grant, and not the key': (_, own) => appears(own, 'keystore')
  }
  const approvals: boolean[] = []
  for (const [i, [moment, comes]] of Object.entries(moments).entries()) {
    const own = join(folder, `m${i}`)
    await mkdir(own)
    const events: NodeEvent[] = []
    const onEvent = (event: NodeEvent): void => void events.push(event)
    const { node } = await startNode(t, {
      dataDir: own,
      name: `m${i}`,
      bootstrap: [admin.address],
      role: ROLE,
      onEvent
    })
    await until('it shows its code', async () => codeIn(events) !== undefined)
    const first = codeIn(events)
    const approved = admin.approve(first)
    await comes(approved, own)
    await admin.kill()
    approvals.push(await approved)
    await admin.startAgain()
    const isIn = async (): Promise<boolean> => (await node.status()).state === 'in'
    // If the kill came before the approval was durable, the machine asks again and shows another code.
    await until(`in or asking, killed ${moment}`, async () => (await isIn()) || codeIn(events) !== first)
    if (!(await isIn())) assert.equal(await admin.approve(codeIn(events)), true)
    await node.ready()
    await until(
      `the key, killed ${moment}`,
      async () => !(await node.status()).warnings.join().includes('key of the network yet')
    )
    assert.equal((await secretsIn(own)).epochs.length, 1, moment)
    await node.put(`/${i}.txt`, Buffer.from('mine'), { replicas: 1, ack: 1 })
    await node.stop()
  }
  assert.equal(approvals[2], true)
})
