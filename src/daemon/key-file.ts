import { link, open, readFile, rm, stat } from 'node:fs/promises'
import { formatNetworkKey, generateNetworkKey, parseNetworkKey } from '../index.ts'
import { messageOf, usage } from '../terminal/errors.ts'
import { note } from '../terminal/print.ts'

const KEY_FILE_BYTES_MAX = 4096

/** Reads a network key from a file: 64 hex digits or 24 words. Returns undefined if there is no such file. */
export async function readNetworkKey(file: string): Promise<Uint8Array | undefined> {
  let text: string
  try {
    const { mode, size } = await stat(file)
    if (size > KEY_FILE_BYTES_MAX) throw usage('the file named by --network-key-file is too large for a network key')
    if (process.platform !== 'win32' && (mode & 0o077) !== 0)
      note('warning: others on this machine can read the network key file (run chmod 600 on it)')
    text = await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    if (code === 'usage') throw error
    throw usage(`cannot read the file named by --network-key-file: ${messageOf(error)}`)
  }
  return parseNetworkKey(text)
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
    await link(temp, file)
    return key
  } catch (error) {
    const there = (error as NodeJS.ErrnoException).code === 'EEXIST' ? await readNetworkKey(file) : undefined
    if (there === undefined) throw error
    return there
  } finally {
    await rm(temp, { force: true })
  }
}
