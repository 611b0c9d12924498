import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { LockedError } from '../../../src/disk/errors.ts'
import { lockDirectory } from '../../../src/disk/lock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { temporaryFolder } from '../../fixtures/temporary-folder.ts'
import { until } from '../../fixtures/until.ts'

const LOCKER = join(import.meta.dirname, '../../fixtures/locker.ts')

/** Starts a process that tries to take the lock. Returns the process and what it printed. */
async function locker(t: TestContext, folder: string): Promise<{ child: ChildProcess; said: string }> {
  const child = spawn(process.execPath, [LOCKER, folder], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const [said] = (await once(child.stdout as NonNullable<typeof child.stdout>, 'data')) as [Buffer]
  return { child, said: said.toString().trim() }
}

test('one of two processes gets the lock, and the other learns which process to stop', async t => {
  const folder = await temporaryFolder(t)
  const first = await locker(t, folder)
  assert.equal(first.said, 'locked')
  const second = await locker(t, folder)
  assert.match(second.said, /^LockedError: /)
  assert.ok(second.said.includes(`process ${first.child.pid} `))
  await assert.rejects(lockDirectory(folder, { logger: silentLogger }), LockedError)
  first.child.stdin?.end()
  await once(first.child, 'exit')
  assert.deepEqual(await readdir(folder), [])
  await (await lockDirectory(folder, { logger: silentLogger }))()
})

test('a killed process leaves nothing locked', async t => {
  const folder = await temporaryFolder(t)
  const { child } = await locker(t, folder)
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.deepEqual(await readdir(folder), ['lock'])
  const unlock = await lockDirectory(folder, { logger: silentLogger })
  assert.match(await readFile(join(folder, 'lock'), 'utf8'), new RegExp(`^${process.pid} `))
  await unlock()
  assert.deepEqual(await readdir(folder), [])
})

test('exactly one of many processes that find a stale lock at once gets it', async t => {
  const folder = await temporaryFolder(t)
  for (let round = 0; round < 20; round++) {
    await writeFile(join(folder, 'lock'), '999999999 1 dead')
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, () => lockDirectory(folder, { logger: silentLogger }))
    )
    const got = results.filter(result => result.status === 'fulfilled')
    assert.equal(got.length, 1)
    for (const result of results) if (result.status === 'rejected') assert.ok(result.reason instanceof LockedError)
    await got[0]?.value()
    assert.deepEqual(await readdir(folder), [])
  }
})

test('a process that died while it took over a stale lock blocks no other', async t => {
  const folder = await temporaryFolder(t)
  const dead = ['999999999 1 first', '999999999 1 second', '999999999 1 third']
  let path = join(folder, 'lock')
  for (const [i, name] of dead.entries()) {
    await writeFile(path, name)
    if (i < dead.length - 1) path = `${path}.${hash('sha256', name).slice(0, 16)}`
  }
  assert.equal((await readdir(folder)).length, dead.length)
  const results = await Promise.allSettled(
    Array.from({ length: 4 }, () => lockDirectory(folder, { logger: silentLogger }))
  )
  const got = results.filter(result => result.status === 'fulfilled')
  assert.equal(got.length, 1)
  await got[0]?.value()
  assert.deepEqual(await readdir(folder), [])
})

test('the same process cannot take the lock twice', async t => {
  const folder = await temporaryFolder(t)
  const unlock = await lockDirectory(folder, { logger: silentLogger })
  await assert.rejects(lockDirectory(folder, { logger: silentLogger }), LockedError)
  await unlock()
  await unlock()
  await (await lockDirectory(folder, { logger: silentLogger }))()
})

test('a lock is stale if its process id was used again, or names nobody', async t => {
  const folder = await temporaryFolder(t)
  for (const holder of [`${process.pid} 1 then`, '999999999 1 x', '0 1 x', '-1 1 x', 'garbage', '', ' ']) {
    await writeFile(join(folder, 'lock'), holder)
    await (await lockDirectory(folder, { logger: silentLogger }))()
  }
})

test('a zombie holds no lock', async t => {
  const folder = await temporaryFolder(t)
  // The shell turns into a program that does not wait for its child.
  const parent = spawn('sh', ['-c', 'sleep 600 & echo $!; exec sleep 601'], { stdio: ['ignore', 'pipe', 'ignore'] })
  t.after(() => parent.kill('SIGKILL'))
  const [line] = (await once(parent.stdout, 'data')) as [Buffer]
  const pid = Number(line.toString())
  const fieldsOf = async (): Promise<string[]> =>
    (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /s, '').split(' ')
  await until('the shell is one', async () =>
    (await readFile(`/proc/${parent.pid}/cmdline`, 'latin1')).startsWith('sleep')
  )
  process.kill(pid, 'SIGKILL')
  await until('the child has ended', async () => (await fieldsOf())[0] === 'Z')
  await writeFile(join(folder, 'lock'), `${pid} ${(await fieldsOf())[19]} x`)
  await (await lockDirectory(folder, { logger: silentLogger }))()
})

test('a process that lost the lock does not remove the lock of another', async t => {
  const folder = await temporaryFolder(t)
  const unlock = await lockDirectory(folder, { logger: silentLogger })
  await writeFile(join(folder, 'lock'), '1 1 another')
  await unlock()
  assert.equal(await readFile(join(folder, 'lock'), 'utf8'), '1 1 another')
})

test('only the owner can read the lock, and its directory must exist', async t => {
  const folder = await temporaryFolder(t)
  const unlock = await lockDirectory(folder, { logger: silentLogger })
  assert.equal((await stat(join(folder, 'lock'))).mode & 0o777, 0o600)
  await unlock()
  await assert.rejects(lockDirectory(join(folder, 'missing'), { logger: silentLogger }), { name: 'FileMissingError' })
})

test('a lock that a full disk does not take leaves no file behind', async t => {
  const folder = await temporaryFolder(t)
  const handle = await open(join(folder, 'any'), 'w')
  t.mock.method(Object.getPrototypeOf(handle), 'writeFile', async () => {
    throw Object.assign(new Error('full'), { code: 'ENOSPC' })
  })
  await assert.rejects(lockDirectory(folder, { logger: silentLogger }), { code: 'no-space' })
  await handle.close()
  assert.deepEqual(await readdir(folder), ['any'])
})
