import { createCipheriv, createDecipheriv, createSecretKey, scrypt } from 'node:crypto'
import { z } from 'zod'
import { sha256 } from '../format/hash.ts'
import { equalBytes, fromHex, toHex, utf8 } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import { InvalidInputError } from '../util/errors.ts'
import { FileMissingError, ReadOnlyError, UnknownLayoutError, WrongPassphraseError } from './errors.ts'
import { type Files, replaceFile } from './files.ts'

const VERSION = 1

/** The cost of scrypt (RFC 7914): about half a second and 128 MiB, paid once at each start. */
const SCRYPT = { N: 2 ** 17, r: 8, p: 1 }
/** The highest cost that a file may ask for. Another version, or somebody else, may have written it. */
const SCRYPT_N_MAX = 2 ** 20
const SALT_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** A schema of bytes that a secret file writes as hex digits. */
export const bytesHex = (length: number) =>
  z
    .string()
    .regex(new RegExp(`^[0-9a-f]{${length * 2}}$`))
    .transform(fromHex)
export const anyHex = z
  .string()
  .regex(/^([0-9a-f]{2})*$/)
  .transform(fromHex)

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
const openSchema = z.strictObject({ v: z.literal(VERSION), secrets: z.unknown(), check: bytesHex(32).optional() })

export interface SecretFileOptions<T> {
  /** The name of the file, which is also what errors call it. */
  name: string
  /** Parses what was passed to `write`. */
  schema: z.ZodType<T>
  files: Files
  chance: Chance
  /** Seals the file. Without a passphrase it is not sealed. */
  passphrase?: string | undefined
}

/**
 * A small file with secrets in the data directory. It is readable by its owner only, and sealed if there is a
 * passphrase. It is replaced as a whole, so a crash leaves either the old file or the new one.
 */
export class SecretFile<T> {
  readonly #options: SecretFileOptions<T>
  readonly #damaged: string

  /** Throws an `InvalidInputError` for an empty passphrase. */
  constructor(options: SecretFileOptions<T>) {
    if (options.passphrase === '')
      throw new InvalidInputError('the passphrase is empty: give one with at least one character')
    this.#options = options
    this.#damaged = `the ${options.name} is damaged, or was written by another version: restore it from a backup, or upgrade dfs-node`
  }

  /**
   * Returns what was written, or undefined if there is no file. Throws a `WrongPassphraseError` if the passphrase is
   * wrong, missing or not needed, and an `UnknownLayoutError` if the file is damaged.
   */
  async read(): Promise<T | undefined> {
    const text = await this.#readText()
    return text === undefined ? undefined : this.#parse(text)
  }

  /**
   * Replaces the file. `plain` must be what the schema reads. It is durable when this resolves. The caller must not
   * write twice concurrently.
   */
  async write(plain: unknown): Promise<void> {
    const { files, name, passphrase } = this.#options
    const value =
      passphrase === undefined
        ? { v: VERSION, secrets: plain, check: toHex(checkOf(plain)) }
        : await this.#seal(plain, passphrase)
    await replaceFile(files, name, utf8(`${JSON.stringify(value, null, 2)}\n`))
  }

  /** Removes the file. Its name is gone for good when this resolves. A missing file is not an error. */
  async remove(): Promise<void> {
    const { files, name } = this.#options
    if ((await files.size(name)) === undefined) return
    await files.remove(name)
    await files.syncDirectory('')
  }

  async #readText(): Promise<string | undefined> {
    const { files, name } = this.#options
    try {
      return Buffer.from(await files.read(name)).toString('utf8')
    } catch (error) {
      if (error instanceof FileMissingError) return undefined
      if (error instanceof ReadOnlyError)
        throw new ReadOnlyError(
          `cannot read the ${name}: permission denied (run chmod 600 on the file ${name} in the data directory, as its owner)`,
          { cause: error }
        )
      throw error
    }
  }

  async #parse(text: string): Promise<T> {
    const { name, passphrase } = this.#options
    const value = this.#parseJson(text)
    const sealed = sealedSchema.safeParse(value)
    if (sealed.success) return this.#secretsIn(await this.#open(sealed.data))
    const open = openSchema.safeParse(value)
    if (!open.success) throw new UnknownLayoutError(this.#damaged)
    if (passphrase !== undefined)
      throw new WrongPassphraseError(`this ${name} is not sealed: start without --passphrase-file`)
    const { secrets, check } = open.data
    // Nothing else notices a digit that has changed in a key: what is sealed with that key could never be read again.
    if (check !== undefined && !equalBytes(check, checkOf(secrets))) throw new UnknownLayoutError(this.#damaged)
    return this.#secretsIn(secrets)
  }

  #secretsIn(value: unknown): T {
    const parsed = this.#options.schema.safeParse(value)
    if (!parsed.success) throw new UnknownLayoutError(this.#damaged)
    return parsed.data
  }

  #parseJson(text: string): unknown {
    try {
      return JSON.parse(text)
    } catch {
      // The error has no `cause`, because the platform's message quotes the text, which may contain secrets.
      throw new UnknownLayoutError(this.#damaged)
    }
  }

  async #seal(plain: unknown, passphrase: string): Promise<z.input<typeof sealedSchema>> {
    const { chance } = this.#options
    const salt = chance.bytes(SALT_BYTES)
    const nonce = chance.bytes(NONCE_BYTES)
    const key = createSecretKey(await stretch(passphrase, salt, SCRYPT.N))
    const cipher = createCipheriv('aes-256-gcm', key, nonce)
    const box = Buffer.concat([cipher.update(JSON.stringify(plain), 'utf8'), cipher.final(), cipher.getAuthTag()])
    return { v: VERSION, scrypt: { ...SCRYPT, r: 8, p: 1, salt: toHex(salt) }, nonce: toHex(nonce), box: toHex(box) }
  }

  async #open({ scrypt: { N, salt }, nonce, box }: z.output<typeof sealedSchema>): Promise<unknown> {
    const { name, passphrase } = this.#options
    if (passphrase === undefined) throw new WrongPassphraseError(`this ${name} is sealed: give --passphrase-file`)
    const key = createSecretKey(await stretch(passphrase, salt, N))
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
    decipher.setAuthTag(box.subarray(-TAG_BYTES))
    let text: Buffer
    try {
      text = Buffer.concat([decipher.update(box.subarray(0, -TAG_BYTES)), decipher.final()])
    } catch (cause) {
      throw new WrongPassphraseError(
        `the ${name} does not open with this passphrase: give the right --passphrase-file`,
        { cause }
      )
    }
    return this.#parseJson(text.toString('utf8'))
  }
}

function checkOf(secrets: unknown): Uint8Array {
  return sha256.digest(utf8(JSON.stringify(secrets)))
}

function stretch(passphrase: string, salt: Uint8Array, N: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const maxmem = 256 * N * SCRYPT.r
    scrypt(passphrase.normalize('NFC'), salt, 32, { ...SCRYPT, N, maxmem }, (error, key) =>
      error === null ? resolve(key) : reject(error)
    )
  })
}
