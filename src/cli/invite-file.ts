import { type FileHandle, open, rm } from 'node:fs/promises'
import { CliError, codeOfAny, usage } from '../terminal/errors.ts'
import { readSecret } from '../terminal/secret-file.ts'
import { systemWords } from '../util/system-words.ts'

/** The most names that are tried for a file whose name nobody gave. */
const NAMES_MAX = 1_000
/** The most bytes of an invite. */
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
 * an invite that could not be written would be valid, but nobody would have it. If `path` is not given, the first free
 * name of `dfs-ROLE.invite`, `dfs-ROLE-2.invite` and so on in this folder is used.
 */
export async function createInviteFile(path: string | undefined, role: string): Promise<InviteFile> {
  if (path === '-') throw usage('--out: an invite is never printed: name a file (./- for one with the name -)')
  const names = path === undefined ? namesFor(role) : [path]
  for (const name of names) {
    try {
      return fileOf(name, await open(name, 'wx', 0o600))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'EEXIST')
        throw new CliError(codeOfAny(error), `${name}: cannot create the invite there: ${systemWords(code)}`)
    }
  }
  throw new CliError('exists', `${names[0]}: there is a file with this name already: name another one with --out`)
}

/** Reads the token in a file. The file may end with a line break. */
export async function readInvite(path: string, signal: AbortSignal): Promise<string> {
  // An error of the system would repeat the name, and with it the invite.
  if (path.trimStart().startsWith(INVITE_START))
    throw usage('--revoke takes the file of an invite or its id, not the invite itself')
  const text = (
    await readSecret(path, { flag: '--revoke', what: 'an invite', bytesMax: INVITE_BYTES_MAX, signal })
  ).trim()
  if (!text.startsWith(INVITE_START))
    throw usage('--revoke: this file holds no invite: give its id (dfs invite --list)')
  return text
}

function namesFor(role: string): string[] {
  return Array.from({ length: NAMES_MAX }, (_, i) => (i === 0 ? `dfs-${role}.invite` : `dfs-${role}-${i + 1}.invite`))
}

function fileOf(path: string, handle: FileHandle): InviteFile {
  return {
    path,
    async write(token) {
      try {
        await handle.writeFile(`${token}\n`)
        await handle.sync()
        await handle.close()
      } catch (error) {
        const words = systemWords((error as NodeJS.ErrnoException).code)
        throw new CliError(codeOfAny(error), `${path}: cannot write the invite there: ${words}`, { cause: error })
      }
    },
    async remove() {
      await handle.close()
      await rm(path, { force: true })
    }
  }
}
