import { open, rm } from 'node:fs/promises'
import { formatNetworkKey, generateNetworkKey, InvalidInputError, parseNetworkKey } from '../index.ts'
import { usage } from '../terminal/errors.ts'
import { readSecretIfThere } from '../terminal/secret-file.ts'
import { publishFile } from './publish-file.ts'

const KEY_FILE_BYTES_MAX = 4096

const FILE = { flag: '--network-key-file', what: 'a network key', bytesMax: KEY_FILE_BYTES_MAX }

/** Throws a usage error if the key itself was given in place of the name of its file. */
export function assertNoKey(file: string): void {
  // With `--new` a missing file is created, and the key would become its name.
  if (isNetworkKey(file))
    throw usage('--network-key-file takes the name of a file that holds the key, not the key itself')
}

/**
 * Reads a network key from a file: 64 hex digits or 24 words. Returns undefined if there is no such file. Throws what
 * `readSecretIfThere`, `networkKeyIn` and `assertNoKey` throw.
 */
export async function readNetworkKey(file: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
  assertNoKey(file)
  const text = await readSecretIfThere(file, { ...FILE, signal })
  return text === undefined ? undefined : networkKeyIn(text, FILE.flag)
}

/** Parses a network key. Throws an `InvalidInputError` that says where the text came from. */
export function networkKeyIn(text: string, flag: string): Uint8Array {
  try {
    return parseNetworkKey(text)
  } catch (error) {
    throw new InvalidInputError(`${flag}: ${(error as Error).message}`)
  }
}

/**
 * Draws a network key and saves it in a new file that only its owner can read. A program that waits for the file never
 * sees it half written. An existing file is never replaced: if one has appeared meanwhile, its key is returned.
 */
export async function makeNetworkKey(file: string): Promise<Uint8Array> {
  const key = generateNetworkKey()
  const temp = `${file}.${process.pid}.new`
  await rm(temp, { force: true })
  const handle = await open(temp, 'wx', 0o600)
  try {
    await handle.writeFile(`${formatNetworkKey(key)}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  try {
    await publishFile(temp, file)
    return key
  } catch (error) {
    const there = (error as NodeJS.ErrnoException).code === 'EEXIST' ? await readNetworkKey(file) : undefined
    if (there === undefined) throw error
    return there
  } finally {
    await rm(temp, { force: true })
  }
}

function isNetworkKey(text: string): boolean {
  try {
    parseNetworkKey(text)
    return true
  } catch {
    return false
  }
}
