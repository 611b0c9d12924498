import { z } from 'zod'
import { toHex } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { KeystoreOptions, Secrets } from './keystore.ts'
import { bytesHex, SecretFile } from './secret-file.ts'

/** The keys of a device that is not a member yet. They become the member's keys. */
export type Candidate = Pick<Secrets, 'device' | 'x25519' | 'names'>

const schema = z.strictObject({ device: bytesHex(32), x25519: bytesHex(32), names: bytesHex(32) })

/** Draws the keys of a new device. */
export function drawCandidate(chance: Chance): Candidate {
  return { device: chance.bytes(32), x25519: chance.bytes(32), names: chance.bytes(32) }
}

/**
 * The file with the keys of a device that asks to be let in. They are on the disk before it asks. Otherwise a crash
 * after it was let in could lose the keys of the member that the others know. The file is removed once the keystore is
 * on the disk.
 */
export class CandidateFile {
  readonly #file: SecretFile<Candidate>

  /** Throws an `InvalidInputError` for an empty passphrase. */
  constructor({ files, chance, passphrase }: Omit<KeystoreOptions, 'logger'>) {
    this.#file = new SecretFile<Candidate>({ name: 'candidate', schema, files, chance, passphrase })
  }

  /** Returns the keys, or undefined if there are none. Throws what `SecretFile.read` throws. */
  load(): Promise<Candidate | undefined> {
    return this.#file.read()
  }

  /** Durable when this resolves. */
  save({ device, x25519, names }: Candidate): Promise<void> {
    return this.#file.write({ device: toHex(device), x25519: toHex(x25519), names: toHex(names) })
  }

  /** Durable when this resolves. A missing file is not an error. */
  remove(): Promise<void> {
    return this.#file.remove()
  }
}
