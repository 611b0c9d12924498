/**
 * What two Node processes and TCP can do on this machine: each file over a connection of its own, eight at a time,
 * written as it comes. Nothing is encrypted, verified or synced.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { serve } from './serve.ts'

const PORT = 7_000
const PIECE_BYTES = 256 << 10
const FILES_AT_ONCE = 8

interface Asked {
  path: string
  start?: number
  end?: number
}

let sender = ''

serve({
  async open(_dataDir, address) {
    const server = createServer(socket => {
      socket.on('error', () => {})
      socket.once('data', asked => {
        const { path, ...range } = JSON.parse(asked.toString()) as Asked
        pipeline(createReadStream(path, { highWaterMark: PIECE_BYTES, ...range }), socket).catch(() => {})
      })
    })
    await new Promise<void>(resolve => server.listen(PORT, address, resolve))
    return address
  },
  async connect(to) {
    sender = to as string
  },
  async add(source) {
    if ((await stat(source)).isFile()) return [source]
    return (await readdir(source)).map(name => join(source, name))
  },
  async fetch(added, folder) {
    const paths = (added as string[]).values()
    const work = async (): Promise<void> => {
      for (const path of paths) await pipeline(ask({ path }), createWriteStream(join(folder, basename(path))))
    }
    await Promise.all(Array.from({ length: FILES_AT_ONCE }, work))
  },
  async read(added, range) {
    const [path] = added as [string]
    const from = performance.now()
    let [bytes, firstByteMs] = [0, 0]
    const asked = range === undefined ? { path } : { path, start: range.offset, end: range.offset + range.length - 1 }
    for await (const piece of ask(asked) as AsyncIterable<Buffer>) {
      if (bytes === 0) firstByteMs = performance.now() - from
      bytes += piece.byteLength
      if (range === undefined) break
    }
    return { firstByteMs, totalMs: performance.now() - from, bytes }
  }
})

function ask(asked: Asked): ReturnType<typeof connect> {
  const socket = connect(PORT, sender)
  socket.write(JSON.stringify(asked))
  return socket
}
