/**
 * Helia: UnixFS over Bitswap, blocks as files. Its packages are those of ../package.json, which this repository does not
 * install, so their types are not known here.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { serve } from './serve.ts'

const PORT = 4_001
const PIECE_BYTES = 1 << 20
const FILES_AT_ONCE = 8

type Make = (...options: unknown[]) => unknown
interface UnixFs {
  addByteStream(source: AsyncIterable<Uint8Array>): Promise<object>
  addAll(files: Iterable<unknown>, options: { wrapWithDirectory: true }): AsyncIterable<{ cid: object }>
  cat(cid: object, range?: { offset: number; length: number }): AsyncIterable<Uint8Array>
  ls(cid: object): AsyncIterable<{ cid: object; name: string }>
}
interface Helia {
  start(): Promise<void>
  libp2p: { getMultiaddrs(): object[]; dial(address: unknown): Promise<unknown> }
}
interface Added {
  cid: string
  /** The name of a file. A folder has none. */
  name?: string
}

/** Loads a function of a package that the type checker cannot see. */
async function load(name: string, what: string): Promise<Make> {
  const all = (await import(name)) as Record<string, Make>
  return all[what] as Make
}

/** Loads a class of such a package, and returns what makes an object of it. */
async function maker(name: string, what: string): Promise<Make> {
  const Class = (await load(name, what)) as unknown as new (...options: unknown[]) => unknown
  return (...options) => new Class(...options)
}

let helia: Helia
let files: UnixFs
const { CID } = (await import(String('multiformats/cid'))) as { CID: { parse(text: string): object } }

serve({
  async open(dataDir, address) {
    const blockstore = (await maker('blockstore-fs', 'FsBlockstore'))(join(dataDir, 'blocks')) as {
      open(): Promise<void>
    }
    const datastore = (await maker('datastore-level', 'LevelDatastore'))(join(dataDir, 'data')) as {
      open(): Promise<void>
    }
    await blockstore.open()
    await datastore.open()
    const light = (await load('helia', 'createHeliaLight'))({ blockstore, datastore })
    const withLibp2p = (await load('@helia/libp2p', 'withLibp2pLight'))(light, {
      addresses: { listen: [`/ip4/${address}/tcp/${PORT}`] },
      transports: [(await load('@libp2p/tcp', 'tcp'))()],
      connectionEncrypters: [(await load('@chainsafe/libp2p-noise', 'noise'))()],
      streamMuxers: [(await load('@chainsafe/libp2p-yamux', 'yamux'))()],
      services: { identify: (await load('@libp2p/identify', 'identify'))() }
    })
    helia = (await load('@helia/bitswap', 'withBitswap'))(withLibp2p) as Helia
    await helia.start()
    files = (await load('@helia/unixfs', 'unixfs'))(helia) as UnixFs
    return String(helia.libp2p.getMultiaddrs()[0])
  },
  async connect(to) {
    await helia.libp2p.dial((await load('@multiformats/multiaddr', 'multiaddr'))(to))
  },
  async add(source): Promise<Added> {
    const read = (path: string): AsyncIterable<Uint8Array> => createReadStream(path, { highWaterMark: PIECE_BYTES })
    if ((await stat(source)).isFile()) {
      return { cid: String(await files.addByteStream(read(source))), name: basename(source) }
    }
    const names = await readdir(source)
    const entries = function* (): Generator<unknown> {
      for (const name of names) yield { path: name, content: read(join(source, name)) }
    }
    let cid = ''
    for await (const entry of files.addAll(entries(), { wrapWithDirectory: true })) cid = String(entry.cid)
    return { cid }
  },
  async fetch(added, folder) {
    const { cid, name } = added as Added
    const write = (from: object, to: string): Promise<void> =>
      pipeline(Readable.from(files.cat(from)), createWriteStream(join(folder, to)))
    if (name !== undefined) return write(CID.parse(cid), name)
    const entries = []
    for await (const entry of files.ls(CID.parse(cid))) entries.push(entry)
    const left = entries.values()
    const work = async (): Promise<void> => {
      for (const entry of left) await write(entry.cid, entry.name)
    }
    await Promise.all(Array.from({ length: FILES_AT_ONCE }, work))
  },
  async read(added, range) {
    const from = performance.now()
    let [bytes, firstByteMs] = [0, 0]
    for await (const piece of files.cat(CID.parse((added as Added).cid), range)) {
      if (bytes === 0) firstByteMs = performance.now() - from
      bytes += piece.byteLength
      if (range === undefined) break
    }
    return { firstByteMs, totalMs: performance.now() - from, bytes }
  }
})
