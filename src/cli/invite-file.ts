import { type FileHandle, open, rm } from 'node:fs/promises'
import { CliError, messageOf } from '../terminal/errors.ts'

/** The most names that are tried for a file whose name nobody gave. */
const NAMES_MAX = 1_000
/** No invite is longer. */
const INVITE_BYTES_MAX = 32 << 10
const INVITE_START = 'dfsinvite1.'

/** A new, empty file that only its owner can read. */
export interface InviteFile {
  path: string
  /** Writes the token and makes it durable. */
  write(token: string): Promise<void>
  /** Removes the file. */
  remove(): Promise<void>
}

/**
 * Creates a file for an invite. A file that exists is never replaced. It is created before the invite is made, because
 * an invite that could not be written would count without anybody having it. If `path` is not given, the first free
 * name of `dfs-ROLE.invite`, `dfs-ROLE-2.invite` and so on in this folder is used.
 */
export async function createInviteFile(path: string | undefined, role: string): Promise<InviteFile> {
  const names = path === undefined ? namesFor(role) : [path]
  for (const name of names) {
    try {
      return fileOf(name, await open(name, 'wx', 0o600))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
        throw new CliError('io', `cannot create the file for the invite: ${messageOf(error)}`, { cause: error })
    }
  }
  throw new CliError('exists', 'there is a file with the name of the invite already: name another one with --out')
}

/** Reads the token in a file. The file may end with a line break. */
export async function readInvite(path: string): Promise<string> {
  // An error of the system would repeat the name, and with it the invite.
  if (path.trimStart().startsWith(INVITE_START))
    throw new CliError('invalid', '--revoke takes the file of an invite or its id, and not the invite itself')
  const text = await readStart(path)
  if (!text.startsWith(INVITE_START)) throw new CliError('invalid', 'the file named by --revoke holds no invite')
  return text
}

function namesFor(role: string): string[] {
  return Array.from({ length: NAMES_MAX }, (_, i) => (i === 0 ? `dfs-${role}.invite` : `dfs-${role}-${i + 1}.invite`))
}

function fileOf(path: string, handle: FileHandle): InviteFile {
  return {
    path,
    async write(token) {
      await handle.writeFile(`${token}\n`)
      await handle.sync()
      await handle.close()
    },
    async remove() {
      await handle.close()
      await rm(path, { force: true })
    }
  }
}

async function readStart(path: string): Promise<string> {
  let handle: FileHandle | undefined
  try {
    handle = await open(path)
    // One byte more than the longest invite shows that the file is something else.
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(INVITE_BYTES_MAX + 1))
    return bytesRead > INVITE_BYTES_MAX ? '' : buffer.subarray(0, bytesRead).toString('utf8').trim()
  } catch (error) {
    throw new CliError('invalid', `cannot read the file named by --revoke: ${messageOf(error)}`, { cause: error })
  } finally {
    await handle?.close()
  }
}
