import { FILE_BYTES_MAX, SMALL_FILE_BYTES_MAX } from '../contract/constants.ts'
import type { Json } from '../contract/json.ts'
import { FILE_CHANGED } from '../contract/named-file.ts'
import type { PutResult } from '../index.ts'
import { CliError } from '../terminal/errors.ts'
import { note } from '../terminal/print.ts'
import type { Progress } from '../terminal/progress.ts'
import type { Bundle } from './bundle.ts'
import { factsOfFile, LocalChangedError, LocalError, type LocalFacts, readLocal } from './local-source.ts'
import { mediaTypeOf } from './media-type.ts'
import { isUnusable, nameSource } from './named-file.ts'
import type { PutRules } from './put-fields.ts'
import type { Session } from './session.ts'

/** A file to store. */
export interface PutItem extends LocalFacts {
  /** The name under which messages show it. */
  shown: string
  local: string
  /** The path to store it at. */
  target: string
}

export interface PutFileDeps {
  session: Session
  rules: PutRules
  progress: Progress
  /** The bundle for small files, if there are many files. */
  bundle?: Bundle | undefined
}

/**
 * Stores a file. If it changes while it is read, it is read once more; then, if it has only been appended to, its
 * content at the start is stored. Throws a `LocalChangedError` if it has changed in another way.
 */
export async function putFile(deps: PutFileDeps, item: PutItem): Promise<Json<PutResult>> {
  if (item.size > FILE_BYTES_MAX) throw new LocalError('invalid', 'it is larger than a file may be (64 TiB)')
  try {
    return (await putNamed(deps, item)) ?? (await readAndPut(deps, item, 'throw'))
  } catch (error) {
    if (!(error instanceof LocalChangedError)) throw error
  }
  const facts = await factsOfFile(item.local)
  return readAndPut(deps, { ...item, ...facts }, 'take-start')
}

/**
 * Lets the daemon read the file by itself, so that its bytes do not travel through the socket. Returns undefined if the
 * file is small, or if the daemon cannot use it. Throws a `LocalChangedError` if it has changed meanwhile.
 */
async function putNamed(
  { session: { client, signal }, rules, progress }: PutFileDeps,
  { shown, local, target, size }: PutItem
): Promise<Json<PutResult> | undefined> {
  if (size <= SMALL_FILE_BYTES_MAX || !client.canNameFiles) return undefined
  const { file, facts } = await nameSource(local)
  const fields = { ...rules, modified: timeOf(shown, facts), mode: facts.mode, type: mediaTypeOf(local) }
  let read = 0
  const onBytes = (bytes: number): void => {
    read += bytes
    progress.add(bytes)
  }
  try {
    return await client.put(target, { file, onBytes }, fields, signal)
  } catch (error) {
    // It may be read once more.
    progress.add(-read)
    if (isUnusable(error)) return undefined
    throw error instanceof CliError && error.code === FILE_CHANGED ? new LocalChangedError() : error
  }
}

async function readAndPut(
  { session: { client, signal }, rules, progress, bundle }: PutFileDeps,
  { shown, local, target, ...found }: PutItem,
  onChange: 'throw' | 'take-start'
): Promise<Json<PutResult>> {
  const { facts, bytes } = await readLocal(local, found, { bytesAtOnceMax: SMALL_FILE_BYTES_MAX, onChange })
  const { mode } = facts
  const modified = timeOf(shown, facts)
  const fields = { modified, mode, type: mediaTypeOf(local) }
  if (bytes instanceof Uint8Array) {
    const result = await (bundle?.put(target, bytes, fields) ??
      client.put(target, bytes, { ...rules, ...fields }, signal))
    progress.add(bytes.byteLength)
    return result
  }
  let sent = 0
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const piece of bytes as AsyncIterable<Uint8Array>) {
      sent += piece.byteLength
      progress.add(piece.byteLength)
      yield piece
    }
  }
  try {
    return await client.put(target, counted(), { ...rules, ...fields }, signal)
  } catch (error) {
    // It may be sent once more.
    progress.add(-sent)
    throw error
  }
}

/** Returns the time of a file, or undefined if it is out of the range that can be stored. */
function timeOf(shown: string, { modified }: LocalFacts): Date | undefined {
  if (!Number.isNaN(modified.getTime())) return modified
  note(`${shown}: its time is beyond the years that can be stored: it is stored with the time of now`)
  return undefined
}
