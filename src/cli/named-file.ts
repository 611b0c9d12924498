import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { resolve } from 'node:path'
import { failureIn } from '../contract/errors.ts'
import { FILE_UNUSABLE, type NamedFile, type NamedFileLine, namedFile } from '../contract/named-file.ts'
import { CliError } from '../terminal/errors.ts'
import { LocalChangedError, type LocalFacts } from './local-source.ts'
import { BROKE_OFF, NoAnswerError, nodeError, readLines } from './transport.ts'

/**
 * A file of this machine that the daemon reads or writes by itself, so that its bytes do not travel through the socket.
 * That costs less than half of the processor time.
 */
export interface NamedTransfer {
  file: NamedFile
  /** Called from time to time with the number of bytes that have been read or written since the last call. */
  onBytes: (bytes: number) => void
}

/** Names a file that is to be put. Throws if this user may not read it. Links are not followed. */
export async function nameSource(path: string): Promise<{ file: NamedFile; facts: LocalFacts }> {
  const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
  const handle = await open(path, flags)
  try {
    const found = await handle.stat({ bigint: true })
    if (!found.isFile()) throw new LocalChangedError()
    const facts = { size: Number(found.size), modified: found.mtime, mode: Number(found.mode) & 0o777 }
    return { file: namedFile(resolve(path), found), facts }
  } finally {
    await handle.close()
  }
}

/** Names a file that this process has just created, and that the daemon is to fill. */
export async function nameTarget(path: string, handle: FileHandle): Promise<NamedFile> {
  return namedFile(resolve(path), await handle.stat({ bigint: true }))
}

/** Returns true if the daemon cannot use a named file, so that its bytes have to be sent or received. */
export function isUnusable(error: unknown): boolean {
  return error instanceof CliError && error.code === FILE_UNUSABLE
}

/** Reads the answer to a request that names a file. Throws what the daemon says if the transfer failed. */
export async function readNamedLines<Result>(
  response: IncomingMessage,
  onBytes: NamedTransfer['onBytes']
): Promise<Result> {
  let told = 0
  for await (const line of readLines(response)) {
    const failure = failureIn(line)
    if (failure !== undefined) throw nodeError(failure)
    const { bytes = told, result } = line as NamedFileLine<Result>
    onBytes(bytes - told)
    told = bytes
    if (result !== undefined) return result
  }
  throw new NoAnswerError(BROKE_OFF)
}
