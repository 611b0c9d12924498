import { createCipheriv, createDecipheriv, createSecretKey, scrypt } from 'node:crypto'
import { z } from 'zod'
import { fromHex, toHex, utf8 } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import { InvalidInputError } from '../util/errors.ts'
import { FileMissingError, UnknownLayoutError, WrongPassphraseError } from './errors.ts'
import { type Files, replaceFile } from './files.ts'

const NAME = 'keystore'
const VERSION = 1

/** Scrypt's cost (RFC 7914): about half a second and 128 MiB, once at each start. */
const SCRYPT = { N: 2 ** 17, r: 8, p: 1 }
/** What a keystore from elsewhere may ask of us. */
const SCRYPT_N_MAX = 2 ** 20
const SALT_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

const bytesHex = (length: number) =>
  z
    .string()
    .regex(new RegExp(`^[0-9a-f]{${length * 2}}$`))
    .transform(fromHex)
const anyHex = z
  .string()
  .regex(/^([0-9a-f]{2})*$/)
  .transform(fromHex)

const secretsSchema = z.strictObject({
  device: bytesHex(32),
  x25519: bytesHex(32),
  names: bytesHex(32),
  network: bytesHex(32),
  epochs: z.array(z.strictObject({ id: bytesHex(32), key: bytesHex(32) })),
  networkKey: bytesHex(32).optional(),
  grants: z.array(anyHex)
})

/** What this member must keep to itself, and what makes it a member. */
export interface Secrets {
  /** Seed of the Ed25519 key that is the peer id. */
  device: Uint8Array
  /** Seed of the X25519 key that epoch keys are handed to. */
  x25519: Uint8Array
  /** Key under which names stand in the index. */
  names: Uint8Array
  /** The network's id. */
  network: Uint8Array
  /** Keys of the epochs this member may read. */
  epochs: Array<{ id: Uint8Array; key: Uint8Array }>
  /** Only with the founder, until it is told to forget it. */
  networkKey?: Uint8Array | undefined
  /** The statements that make this device a member: its grant last, those it rests on before it. */
  grants: Uint8Array[]
}

const sealedSchema = z.strictObject({
  v: z.literal(VERSION),
  scrypt: z.strictObject({
    N: z
      .number()
      .int()
      .min(2)
      .max(SCRYPT_N_MAX)
      .refine(n => (n & (n - 1)) === 0),
    r: z.literal(8),
    p: z.literal(1),
    salt: anyHex
  }),
  nonce: bytesHex(NONCE_BYTES),
  box: anyHex.refine(box => box.byteLength >= TAG_BYTES)
})
const openSchema = z.strictObject({ v: z.literal(VERSION), secrets: z.unknown() })

/**
 * The keystore file: readable by its owner alone, or sealed under a passphrase. Replaced as a whole, so a crash leaves
 * the old or the new one.
 */
export class Keystore {
  readonly #files: Files
  readonly #chance: Chance
  readonly #passphrase: string | undefined

  /** Without a passphrase the keystore is not sealed; an empty one is an `InvalidInputError`. */
  constructor(files: Files, chance: Chance, passphrase?: string) {
    if (passphrase === '') throw new InvalidInputError('a passphrase has at least one character')
    this.#files = files
    this.#chance = chance
    this.#passphrase = passphrase
  }

  /**
   * The secrets, or undefined where there is no keystore yet. A `WrongPassphraseError` if they do not open under this
   * passphrase, or without one; an `UnknownLayoutError` if the file is damaged.
   */
  async load(): Promise<Secrets | undefined> {
    let text: string
    try {
      text = Buffer.from(await this.#files.read(NAME)).toString('utf8')
    } catch (error) {
      if (error instanceof FileMissingError) return undefined
      throw error
    }
    const value = parseJson(text)
    const sealed = sealedSchema.safeParse(value)
    if (sealed.success) return parseSecrets(await this.#open(sealed.data))
    const open = openSchema.safeParse(value)
    if (!open.success) throw new UnknownLayoutError('the keystore is damaged or of another version')
    if (this.#passphrase !== undefined) {
      throw new WrongPassphraseError('this keystore is not sealed: start without --passphrase-file')
    }
    return parseSecrets(open.data.secrets)
  }

  /** Durable when it resolves. One at a time. */
  async save(secrets: Secrets): Promise<void> {
    const plain = {
      device: toHex(secrets.device),
      x25519: toHex(secrets.x25519),
      names: toHex(secrets.names),
      network: toHex(secrets.network),
      epochs: secrets.epochs.map(({ id, key }) => ({ id: toHex(id), key: toHex(key) })),
      ...(secrets.networkKey === undefined ? {} : { networkKey: toHex(secrets.networkKey) }),
      grants: secrets.grants.map(toHex)
    }
    const value =
      this.#passphrase === undefined ? { v: VERSION, secrets: plain } : await this.#seal(plain, this.#passphrase)
    await replaceFile(this.#files, NAME, utf8(`${JSON.stringify(value, null, 2)}\n`))
  }

  async #seal(plain: unknown, passphrase: string): Promise<z.input<typeof sealedSchema>> {
    const salt = this.#chance.bytes(SALT_BYTES)
    const nonce = this.#chance.bytes(NONCE_BYTES)
    const key = createSecretKey(await stretch(passphrase, salt, SCRYPT.N))
    const cipher = createCipheriv('aes-256-gcm', key, nonce)
    const box = Buffer.concat([cipher.update(JSON.stringify(plain), 'utf8'), cipher.final(), cipher.getAuthTag()])
    return { v: VERSION, scrypt: { ...SCRYPT, r: 8, p: 1, salt: toHex(salt) }, nonce: toHex(nonce), box: toHex(box) }
  }

  async #open({ scrypt: { N, salt }, nonce, box }: z.output<typeof sealedSchema>): Promise<unknown> {
    if (this.#passphrase === undefined)
      throw new WrongPassphraseError('this keystore is sealed: give --passphrase-file')
    const key = createSecretKey(await stretch(this.#passphrase, salt, N))
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
    decipher.setAuthTag(box.subarray(-TAG_BYTES))
    let text: Buffer
    try {
      text = Buffer.concat([decipher.update(box.subarray(0, -TAG_BYTES)), decipher.final()])
    } catch (cause) {
      throw new WrongPassphraseError('the keystore does not open with this passphrase', { cause })
    }
    return parseJson(text.toString('utf8'))
  }
}

function parseSecrets(value: unknown): Secrets {
  const parsed = secretsSchema.safeParse(value)
  if (!parsed.success) throw new UnknownLayoutError('the keystore is damaged or of another version')
  return parsed.data
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new UnknownLayoutError('the keystore is damaged')
  }
}

function stretch(passphrase: string, salt: Uint8Array, N: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const maxmem = 256 * N * SCRYPT.r
    scrypt(passphrase.normalize('NFC'), salt, 32, { ...SCRYPT, N, maxmem }, (error, key) =>
      error === null ? resolve(key) : reject(error)
    )
  })
}
