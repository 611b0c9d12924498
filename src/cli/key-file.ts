import { link, open, readFile, rm, stat } from 'node:fs/promises'
import { formatNetworkKey, generateNetworkKey, parseNetworkKey } from '../index.ts'
import { usage } from './exit.ts'
import { note } from './session.ts'

const KEY_FILE_BYTES_MAX = 4096

/**
 * The network key in a file: 64 hex digits or 24 words. With `mayMake` a missing file is made, readable by its owner
 * alone; an existing one is never overwritten.
 */
export async function networkKeyFrom(file: string, mayMake: boolean): Promise<Uint8Array> {
  let text: string | undefined
  try {
    const { mode, size } = await stat(file)
    if (size > KEY_FILE_BYTES_MAX) throw usage('the file named by --network-key-file holds no network key')
    if (process.platform !== 'win32' && (mode & 0o077) !== 0)
      note('warning: others on this machine can read the network key file: chmod 600 it')
    text = await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    if (code !== 'ENOENT' || !mayMake) throw usage('the file named by --network-key-file cannot be read')
  }
  return text === undefined ? make(file) : parseNetworkKey(text)
}

// Written aside, synced, and linked: whoever waits for the file never reads half of it, and none is ever replaced.
async function make(file: string): Promise<Uint8Array> {
  const key = generateNetworkKey()
  const temp = `${file}.${process.pid}.new`
  const handle = await open(temp, 'wx', 0o600)
  try {
    await handle.writeFile(`${formatNetworkKey(key)}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  try {
    await link(temp, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return networkKeyFrom(file, false)
    throw error
  } finally {
    await rm(temp, { force: true })
  }
  return key
}
