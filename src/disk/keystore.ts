import { z } from 'zod'
import { toHex } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import { Limiter } from '../util/limiter.ts'
import type { ComponentLogger, Logger } from '../util/logger.ts'
import { FileMissingError } from './errors.ts'
import type { Files } from './files.ts'
import { anyHex, bytesHex, SecretFile } from './secret-file.ts'

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

/** Changes the secrets of a member, durably. `change` must not keep a reference to its argument. */
export type KeepSecrets = (change: (secrets: Secrets) => Secrets) => Promise<void>

export interface KeystoreOptions {
  files: Files
  chance: Chance
  logger: ComponentLogger
  /** Seals the keystore. Without a passphrase it is not sealed. */
  passphrase?: string | undefined
}

/** The keystore: the file with the secrets of a member. `SecretFile` says how it is stored. */
export class Keystore {
  readonly #file: SecretFile<Secrets>
  readonly #log: Logger
  readonly #turns = new Limiter(1)

  /** Throws an `InvalidInputError` for an empty passphrase. */
  constructor({ files, chance, logger, passphrase }: KeystoreOptions) {
    this.#file = new SecretFile<Secrets>({ name: 'keystore', schema: secretsSchema, files, chance, passphrase })
    // This log says that the keystore was read or written, but nothing about its contents.
    this.#log = logger.forComponent('dfs:disk:keystore')
  }

  /**
   * Returns the secrets, or undefined if there is no keystore yet. Throws a `WrongPassphraseError` if the passphrase is
   * wrong, missing or not needed, and an `UnknownLayoutError` if the file is damaged.
   */
  async load(): Promise<Secrets | undefined> {
    const secrets = await this.#file.read()
    this.#log(secrets === undefined ? 'there is no keystore yet' : 'read the keystore')
    return secrets
  }

  /** Replaces the secrets. They are durable when this resolves. */
  async save(secrets: Secrets): Promise<void> {
    await this.#turns.run(() => this.#write(secrets))
  }

  /**
   * Changes the secrets that are on the disk now, durably. One change follows another, and each reads the file again,
   * so that none brings back what another has removed. Returns the new secrets. Throws a `FileMissingError` if there is
   * no keystore, what `load` throws, and what `change` throws; then nothing is changed.
   */
  async update(change: (secrets: Secrets) => Secrets): Promise<Secrets> {
    return this.#turns.run(async () => {
      const before = await this.load()
      if (before === undefined) throw new FileMissingError('the keystore is gone: put it back into the data directory')
      const secrets = change(before)
      await this.#write(secrets)
      return secrets
    })
  }

  async #write(secrets: Secrets): Promise<void> {
    await this.#file.write({
      device: toHex(secrets.device),
      x25519: toHex(secrets.x25519),
      names: toHex(secrets.names),
      network: toHex(secrets.network),
      epochs: secrets.epochs.map(({ id, key }) => ({ id: toHex(id), key: toHex(key) })),
      ...(secrets.networkKey === undefined ? {} : { networkKey: toHex(secrets.networkKey) }),
      grants: secrets.grants.map(toHex)
    })
    this.#log('wrote the keystore')
  }
}
