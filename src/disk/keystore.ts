import { createCipheriv, createDecipheriv, createSecretKey, scrypt } from 'node:crypto'
import { z } from 'zod'
import { fromHex, toHex, utf8 } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import { InvalidInputError } from '../util/errors.ts'
import type { ComponentLogger, Logger } from '../util/logger.ts'
import { FileMissingError, ReadOnlyError, UnknownLayoutError, WrongPassphraseError } from './errors.ts'
import { type Files, replaceFile } from './files.ts'

const NAME = 'keystore'
const VERSION = 1
const DAMAGED =
  'the keystore is damaged, or was written by another version: restore it from a backup, or upgrade dfs-node'

/** The cost of scrypt (RFC 7914): about half a second and 128 MiB, paid once at each start. */
const SCRYPT = { N: 2 ** 17, r: 8, p: 1 }
/** The highest cost that a keystore may ask for. Another version, or somebody else, may have written it. */
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

/** The secrets of this member, and the statements that make it a member. */
export interface Secrets {
  /** Seed of the Ed25519 key that is the peer id. */
  device: Uint8Array
  /** Seed of the X25519 key to which other members encrypt epoch keys. */
  x25519: Uint8Array
  /** Key of the HMAC that replaces names in the index. */
  names: Uint8Array
  /** The network's id. */
  network: Uint8Array
  /** The keys of the epochs that this member may read. */
  epochs: Array<{ id: Uint8Array; key: Uint8Array }>
  /** Only the founder of the network keeps it. */
  networkKey?: Uint8Array | undefined
  /** The statements that make this device a member: those that its grant depends on, and then the grant itself. */
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

export interface KeystoreOptions {
  files: Files
  chance: Chance
  logger: ComponentLogger
  /** Seals the keystore. Without a passphrase it is not sealed. */
  passphrase?: string | undefined
}

/**
 * The keystore file. It is readable by its owner only, and sealed if there is a passphrase. It is replaced as a whole,
 * so a crash leaves either the old file or the new one.
 */
export class Keystore {
  readonly #files: Files
  readonly #chance: Chance
  readonly #log: Logger
  readonly #passphrase: string | undefined

  /** Throws an `InvalidInputError` for an empty passphrase. */
  constructor({ files, chance, logger, passphrase }: KeystoreOptions) {
    if (passphrase === '') throw new InvalidInputError('the passphrase is empty: give one with at least one character')
    this.#files = files
    this.#chance = chance
    // This log says that the keystore was read or written, but nothing about its contents.
    this.#log = logger.forComponent('dfs:disk:keystore')
    this.#passphrase = passphrase
  }

  /**
   * Returns the secrets, or undefined if there is no keystore yet. Throws a `WrongPassphraseError` if the passphrase is
   * wrong, missing or not needed, and an `UnknownLayoutError` if the file is damaged.
   */
  async load(): Promise<Secrets | undefined> {
    const text = await this.#read()
    if (text === undefined) {
      this.#log('there is no keystore yet')
      return undefined
    }
    const secrets = await this.#parse(text)
    this.#log('read the keystore')
    return secrets
  }

  async #read(): Promise<string | undefined> {
    try {
      return Buffer.from(await this.#files.read(NAME)).toString('utf8')
    } catch (error) {
      if (error instanceof FileMissingError) return undefined
      if (error instanceof ReadOnlyError)
        throw new ReadOnlyError(
          'cannot read the keystore: permission denied (run chmod 600 on the file keystore in the data directory, as its owner)',
          { cause: error }
        )
      throw error
    }
  }

  async #parse(text: string): Promise<Secrets> {
    const value = parseJson(text)
    const sealed = sealedSchema.safeParse(value)
    if (sealed.success) return parseSecrets(await this.#open(sealed.data))
    const open = openSchema.safeParse(value)
    if (!open.success) throw new UnknownLayoutError(DAMAGED)
    if (this.#passphrase !== undefined) {
      throw new WrongPassphraseError('this keystore is not sealed: start without --passphrase-file')
    }
    return parseSecrets(open.data.secrets)
  }

  /** Replaces the secrets. They are durable when this resolves. The caller must not save twice concurrently. */
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
    this.#log('wrote the keystore')
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
      throw new WrongPassphraseError(
        'the keystore does not open with this passphrase: give the right --passphrase-file',
        {
          cause
        }
      )
    }
    return parseJson(text.toString('utf8'))
  }
}

function parseSecrets(value: unknown): Secrets {
  const parsed = secretsSchema.safeParse(value)
  if (!parsed.success) throw new UnknownLayoutError(DAMAGED)
  return parsed.data
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The error has no `cause`, because the platform's message quotes the text, which may contain secrets.
    throw new UnknownLayoutError(DAMAGED)
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
