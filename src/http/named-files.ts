import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import {
  FILE_CHANGED,
  FILE_HEADER,
  FILE_UNUSABLE,
  isNamed,
  type NamedFile,
  type NamedFileLine
} from '../contract/named-file.ts'
import { encodeLine } from '../contract/ndjson.ts'
import type { OpenFile, PutOptions, PutResult } from '../index.ts'
import { returnBuffer, takeBuffer } from '../util/buffer-pool.ts'
import { NAMED_PIECE_BYTES, NDJSON_HEADERS, PROGRESS_MS } from './constants.ts'
import { errorOf, HttpError } from './errors.ts'
import type { RouteContext } from './route-context.ts'

const whole = z.string().regex(/^-?\d{1,24}$/)
const headerSchema: z.ZodType<NamedFile> = z.strictObject({
  path: z.string().startsWith('/'),
  dev: whole,
  ino: whole,
  size: whole,
  mtimeNs: whole,
  ctimeNs: whole
})

/** A file of this machine that a client has named and that this process has opened. The caller must close it. */
export interface UsableFile {
  handle: FileHandle
  file: NamedFile
}

/**
 * Opens the file that a request names, to be read or to be filled; undefined if the request names none. Throws an
 * `HttpError` (422) unless the request came through the socket and the file is exactly as the client says. Nobody can
 * say that of a file without having looked at it, so a client with a token but without access to the file, for example
 * one in a sandbox, learns nothing of it.
 */
export async function openNamed(
  request: FastifyRequest,
  { isOnSocket, log }: RouteContext,
  use: 'read' | 'fill'
): Promise<UsableFile | undefined> {
  const header = request.headers[FILE_HEADER]
  if (header === undefined) return undefined
  const file = decode(String(header))
  if (file === undefined) throw new HttpError(400, 'invalid', `the header ${FILE_HEADER} is malformed`)
  if (!isOnSocket(request.raw)) throw unusable()
  // A link that has taken the place of the file is not followed, and opening a pipe must not block.
  const { O_RDONLY, O_WRONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants
  const flags = (use === 'read' ? O_RDONLY : O_WRONLY) | O_NOFOLLOW | O_NONBLOCK
  const handle = await open(file.path, flags).catch(error => {
    log('a named file cannot be opened', error)
    throw unusable()
  })
  try {
    if (!(await isUsable(handle, file, use))) throw unusable()
    return { handle, file }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Returns undefined for a header that is malformed. */
function decode(header: string): NamedFile | undefined {
  try {
    return headerSchema.parse(JSON.parse(decodeURIComponent(header)))
  } catch {
    return undefined
  }
}

async function isUsable(handle: FileHandle, file: NamedFile, use: 'read' | 'fill'): Promise<boolean> {
  const found = await handle.stat({ bigint: true })
  if (!found.isFile() || !isNamed(file, found)) return false
  // What is filled is new: the client has just created it, and no other name leads to it.
  return use === 'read' || (found.size === 0n && found.nlink === 1n)
}

/** Puts a file that a client has named. The answer is lines. */
export function putNamed(
  { node, log }: RouteContext,
  usable: UsableFile,
  { path, reply, options }: { path: string; reply: FastifyReply; options: PutOptions }
): Promise<FastifyReply> {
  return answerLines<PutResult>(reply, usable.handle, { log, headers: NDJSON_HEADERS }, count =>
    node.put(path, piecesOf(usable, count), options)
  )
}

/** Writes the bytes of a file into one that a client has named. The answer is lines, and ends with who delivered them. */
export function fillNamed(
  { log }: RouteContext,
  { handle }: UsableFile,
  { reply, file, headers }: { reply: FastifyReply; file: OpenFile; headers: Record<string, string | number> }
): Promise<FastifyReply> {
  return answerLines<Pick<OpenFile, 'from'>>(
    reply,
    handle,
    { log, headers: { ...headers, ...NDJSON_HEADERS } },
    async count => {
      for await (const bytes of file) {
        await writeWhole(handle, bytes)
        count(bytes.byteLength)
      }
      return { from: file.from }
    }
  )
}

/** Answers with the progress of some work from time to time, and then with its result. Closes the file. */
async function answerLines<Result>(
  reply: FastifyReply,
  handle: FileHandle,
  { log, headers }: Pick<RouteContext, 'log'> & { headers: Record<string, string | number> },
  work: (count: (bytes: number) => void) => Promise<Result>
): Promise<FastifyReply> {
  reply.hijack()
  const response = reply.raw
  response.writeHead(200, headers).flushHeaders()
  const say = (line: NamedFileLine<Result>): void => {
    if (!response.destroyed) response.write(encodeLine(line))
  }
  let bytes = 0
  let told = 0
  const progress = setInterval(() => {
    if (bytes > told) say({ bytes })
    told = bytes
  }, PROGRESS_MS)
  try {
    const result = await work(more => {
      bytes += more
    })
    await handle.close()
    say({ bytes, result })
  } catch (error) {
    log('a transfer with a named file broke off', error)
    say({ error: errorOf(error) })
  } finally {
    clearInterval(progress)
    await handle.close()
  }
  response.end()
  return reply
}

/**
 * Yields the bytes of a file, and reads the next piece while the last one is used. Two buffers take turns, which a put
 * allows (`Source`). Throws an `HttpError` if the file cannot be read, or has changed since it was opened.
 */
async function* piecesOf({ handle, file }: UsableFile, count: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  const size = Number(file.size)
  const length = (at: number): number => Math.max(0, Math.min(NAMED_PIECE_BYTES, size - at))
  const buffers = [0, NAMED_PIECE_BYTES].map(at => takeBuffer(length(at)))
  const begin = (at: number): Promise<Uint8Array> => {
    const buffer = buffers[(at / NAMED_PIECE_BYTES) % 2] as Buffer
    const piece = readWhole(handle, buffer.subarray(0, length(at)), at)
    // If the put has ended by then, nobody waits for this piece.
    piece.catch(() => {})
    return piece
  }
  let next = begin(0)
  try {
    for (let at = 0; at < size; at += NAMED_PIECE_BYTES) {
      const piece = await next
      next = begin(at + NAMED_PIECE_BYTES)
      yield piece
      count(piece.byteLength)
    }
  } finally {
    // The file must not be closed while it is read.
    await next.catch(() => {})
    for (const buffer of buffers) returnBuffer(buffer)
  }
  const now = await handle.stat({ bigint: true })
  if (`${now.size}` !== file.size || `${now.mtimeNs}` !== file.mtimeNs) throw changed()
}

/** Fills a buffer from a file. */
async function readWhole(handle: FileHandle, buffer: Uint8Array, at: number): Promise<Uint8Array> {
  for (let length = 0; length < buffer.byteLength; ) {
    const { bytesRead } = await handle.read(buffer, length, buffer.byteLength - length, at + length).catch(unreadable)
    if (bytesRead === 0) throw changed()
    length += bytesRead
  }
  return buffer
}

async function writeWhole(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let length = 0; length < bytes.byteLength; ) {
    const { bytesWritten } = await handle.write(bytes, length).catch(unreadable)
    length += bytesWritten
  }
}

/** The client meets the same failure when it uses the file by itself, and reports it in its own words. */
function unreadable(): never {
  throw unusable()
}

function unusable(): HttpError {
  return new HttpError(422, FILE_UNUSABLE, 'the node cannot use this file by itself: send or receive its bytes instead')
}

function changed(): HttpError {
  return new HttpError(409, FILE_CHANGED, 'the file has changed while it was read')
}
