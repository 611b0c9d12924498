import assert from 'node:assert/strict'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { CandidateFile, drawCandidate } from '../../../src/disk/candidate.ts'
import { FileMissingError, UnknownLayoutError, WrongPassphraseError } from '../../../src/disk/errors.ts'
import type { Files } from '../../../src/disk/files.ts'
import { Keystore, type Secrets } from '../../../src/disk/keystore.ts'
import { NodeFiles } from '../../../src/disk/node-files.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { systemChance } from '../../../src/util/chance.ts'
import { InvalidInputError } from '../../../src/util/errors.ts'
import { CrashError, FakeFiles } from '../../fixtures/fake-files.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { temporaryFolder } from '../../fixtures/temporary-folder.ts'

const fill = (byte: number, length = 32): Uint8Array => new Uint8Array(length).fill(byte)

const SECRETS: Secrets = {
  device: fill(1),
  x25519: fill(2),
  names: fill(3),
  network: fill(4),
  epochs: [
    { id: fill(5), key: fill(6) },
    { id: fill(7), key: fill(8) }
  ],
  networkKey: fill(9),
  grants: [fill(10, 200), fill(11, 0)]
}

function flat(value: unknown): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, key, item) {
    const raw = this[key]
    return raw instanceof Uint8Array ? toHex(raw) : item
  })
}

const open = (files: Files, passphrase?: string): Keystore =>
  new Keystore({ files, chance: systemChance, logger: silentLogger, passphrase })

async function written(passphrase?: string): Promise<{ files: FakeFiles; json: Record<string, unknown> }> {
  const files = new FakeFiles()
  await open(files, passphrase).save(SECRETS)
  return { files, json: JSON.parse(Buffer.from(await files.read('keystore')).toString()) }
}

async function rewritten(json: unknown): Promise<FakeFiles> {
  const files = new FakeFiles()
  await files.writeNew('keystore', [Buffer.from(typeof json === 'string' ? json : JSON.stringify(json))])
  return files
}

test('the keystore loads what it saved, with a passphrase and without', async () => {
  for (const passphrase of [undefined, 'correct horse', 'p\u00e4ss']) {
    const { files } = await written(passphrase)
    const loaded = await open(files, passphrase).load()
    assert.equal(flat(loaded), flat(SECRETS))
  }
  const { networkKey: _, ...rest } = SECRETS
  const files = new FakeFiles()
  await open(files).save(rest)
  assert.equal((await open(files).load())?.networkKey, undefined)
})

test('both normal forms of a passphrase open the keystore', async () => {
  const { files } = await written('p\u00e4ss')
  assert.equal(flat(await open(files, 'pa\u0308ss').load()), flat(SECRETS))
})

test('load returns undefined if there is no keystore', async () => {
  assert.equal(await open(new FakeFiles()).load(), undefined)
  assert.equal(await open(new FakeFiles(), 'x').load(), undefined)
})

test('a wrong, a missing and a needless passphrase are told apart from damage', async () => {
  const sealed = await written('right')
  await assert.rejects(open(sealed.files, 'wrong').load(), WrongPassphraseError)
  await assert.rejects(open(sealed.files, 'right ').load(), WrongPassphraseError)
  await assert.rejects(open(sealed.files).load(), /--passphrase-file/)
  await assert.rejects(open((await written()).files, 'right').load(), WrongPassphraseError)
  assert.throws(() => open(new FakeFiles(), ''), InvalidInputError)
})

test('a sealed keystore contains none of the secrets, and no two are alike', async () => {
  const [one, two] = await Promise.all([written('x'), written('x')])
  const text = JSON.stringify(one.json)
  for (const secret of [
    SECRETS.device,
    SECRETS.names,
    SECRETS.networkKey as Uint8Array,
    SECRETS.epochs[0]?.key as Uint8Array
  ])
    assert.ok(!text.includes(toHex(secret).slice(0, 16)))
  assert.notEqual(one.json['box'], two.json['box'])
  assert.notEqual(one.json['nonce'], two.json['nonce'])
  const { N, r, p, salt } = one.json['scrypt'] as { N: number; r: number; p: number; salt: string }
  assert.ok(N >= 2 ** 17 && r === 8 && p === 1 && salt.length === 64)
})

test('an altered keystore does not open', async () => {
  const { json } = await written('x')
  const box = json['box'] as string
  for (const at of [0, 2, box.length / 2, box.length - 1]) {
    const altered = box.slice(0, at) + (box[at] === '0' ? '1' : '0') + box.slice(at + 1)
    await assert.rejects(open(await rewritten({ ...json, box: altered }), 'x').load(), WrongPassphraseError)
  }
  for (const cut of [box.slice(2), box.slice(0, -2), box.slice(0, 32)])
    await assert.rejects(open(await rewritten({ ...json, box: cut }), 'x').load(), WrongPassphraseError)
})

test('a keystore in which one digit has changed is refused as damaged, and one without a check is still read', async () => {
  const { files } = await written()
  const text = Buffer.from(await files.read('keystore')).toString()
  const { check: _, ...unchecked } = JSON.parse(text) as Record<string, unknown>
  assert.equal(flat(await open(await rewritten(unchecked)).load()), flat(SECRETS))
  for (const { index } of text.matchAll(/[0-9a-f]{64}/g)) {
    const altered = `${text.slice(0, index)}${text[index] === '0' ? '1' : '0'}${text.slice(index + 1)}`
    await assert.rejects(open(await rewritten(altered)).load(), UnknownLayoutError)
  }
})

test('a file that is not a keystore, or that demands too high a cost, is refused as damaged', async () => {
  const { json } = await written('x')
  const scrypt = json['scrypt'] as object
  const plain = (await written()).json
  const secrets = plain['secrets'] as Record<string, unknown>
  const bad: Record<string, unknown> = {
    nothing: '',
    'no JSON': 'MARKER',
    'half of it': JSON.stringify(plain).slice(0, 200),
    'a list': [],
    'another version': { ...plain, v: 2 },
    'a sealed one of another version': { ...json, v: 2 },
    'a field too many': { ...plain, extra: 1 },
    'a secret too many': { ...plain, secrets: { ...secrets, extra: 'aa' } },
    'a secret missing': { ...plain, secrets: { ...secrets, device: undefined } },
    'a secret too short': { ...plain, secrets: { ...secrets, device: 'aa' } },
    'a secret in capitals': { ...plain, secrets: { ...secrets, device: 'AA'.repeat(32) } },
    'a grant of half a byte': { ...plain, secrets: { ...secrets, grants: ['abc'] } },
    'a box without a tag': { ...json, box: 'aabb' },
    'an empty box': { ...json, box: '' },
    'a short nonce': { ...json, nonce: 'aa' },
    'a terabyte of scrypt': { ...json, scrypt: { ...scrypt, N: 2 ** 30 } },
    'a cost that is no power of two': { ...json, scrypt: { ...scrypt, N: 1000 } },
    'another r': { ...json, scrypt: { ...scrypt, r: 16 } }
  }
  for (const [what, value] of Object.entries(bad)) {
    // A keystore that is not sealed is not read if there is a passphrase.
    for (const passphrase of /secret|grant/.test(what) ? [undefined] : [undefined, 'x']) {
      const files = await rewritten(value)
      await assert.rejects(
        open(files, passphrase).load(),
        error => error instanceof UnknownLayoutError && !error.message.includes('MARKER') && error.cause === undefined,
        what
      )
    }
  }
})

test('only the owner can read the keystore, and no other file is left beside it', async t => {
  const folder = await temporaryFolder(t)
  const keystore = open(new NodeFiles(folder))
  await keystore.save(SECRETS)
  await keystore.save({ ...SECRETS, networkKey: undefined })
  assert.deepEqual(await readdir(folder), ['keystore'])
  assert.equal((await stat(join(folder, 'keystore'))).mode & 0o777, 0o600)
  assert.ok(!(await readFile(join(folder, 'keystore'), 'utf8')).includes('networkKey'))
})

test('a power cut while the keystore is replaced leaves the old one or the new one', async () => {
  const next: Secrets = { ...SECRETS, epochs: [] }
  for (let n = 0, isDone = false; !isDone; n++) {
    let operations = 0
    let isArmed = false
    const files = new FakeFiles({
      before: () => {
        if (isArmed && operations++ >= n) throw new CrashError('no power')
      }
    })
    await open(files).save(SECRETS)
    isArmed = true
    isDone = await open(files)
      .save(next)
      .then(
        () => true,
        () => false
      )
    for (const kept of [0, 0.5, 1]) {
      const after = files.crash({ kept, fraction: () => 0.4 })
      const loaded = flat(await open(after).load())
      assert.ok(isDone ? loaded === flat(next) : [flat(SECRETS), flat(next)].includes(loaded), `operation ${n}`)
      await open(after).save(next)
    }
  }
})

test('changes of the keystore follow one another, and none brings back what another has removed', async () => {
  for (const passphrase of [undefined, 'correct horse']) {
    const { files } = await written(passphrase)
    const keystore = open(files, passphrase)
    const forget = ({ networkKey: _, ...rest }: Secrets): Secrets => rest
    const add = (secrets: Secrets): Secrets => ({
      ...secrets,
      epochs: [...secrets.epochs, { id: fill(12), key: fill(13) }]
    })
    const [, last] = await Promise.all([keystore.update(forget), keystore.update(add)])
    assert.equal(flat(await open(files, passphrase).load()), flat(add(forget(SECRETS))))
    assert.equal(flat(last), flat(add(forget(SECRETS))))
  }
})

test('a change of the keystore that throws changes nothing, and a change is refused if the keystore is gone', async () => {
  const { files } = await written()
  const refuse = (): never => {
    throw new RangeError('no')
  }
  const keystore = open(files)
  await assert.rejects(keystore.update(refuse), RangeError)
  assert.equal(flat(await keystore.load()), flat(SECRETS))
  assert.equal((await files.list('')).includes('keystore.new'), false)
  await files.remove('keystore')
  await assert.rejects(
    keystore.update(secrets => secrets),
    FileMissingError
  )
  assert.equal(await keystore.load(), undefined)
})

test('the keys of a candidate are stored like the keystore, until they are removed', async () => {
  for (const passphrase of [undefined, 'correct horse']) {
    const files = new FakeFiles()
    const candidate = drawCandidate(systemChance)
    const file = new CandidateFile({ files, chance: systemChance, passphrase })
    assert.equal(await file.load(), undefined)
    await file.remove()
    await file.save(candidate)
    assert.equal(flat(await new CandidateFile({ files, chance: systemChance, passphrase }).load()), flat(candidate))
    const other = new CandidateFile({
      files,
      chance: systemChance,
      passphrase: passphrase === undefined ? 'x' : undefined
    })
    await assert.rejects(other.load(), WrongPassphraseError)
    await file.remove()
    assert.equal(await file.load(), undefined)
  }
})
