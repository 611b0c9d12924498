import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { InvalidInputError } from '../index.ts'
import { CLOSE_MS, SOCKET_PATH_BYTES_MAX } from './constants.ts'
import { ApiPortTakenError } from './errors.ts'
import type { LogError } from './route-context.ts'

export interface Address {
  host: string
  port: number
}

const DEFAULT_ADDRESS: Address = { host: '127.0.0.1', port: 3002 }
const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost'])
const PORT_FILE = 'api-port'
const SOCKET_FILE = 'api.sock'

/** Throws an `InvalidInputError` for an address that other machines can reach. */
export function assertLoopback(address: Address | undefined): void {
  if (address === undefined || LOOPBACK.has(address.host)) return
  throw new InvalidInputError(
    '--api takes only a loopback address, such as 127.0.0.1:3002: elsewhere the API needs TLS, which is not built yet'
  )
}

/**
 * Listens on loopback and returns the address. If no address is given, it tries the port that it used last time, then
 * the default port, then a free port, and it saves the port in the data directory. Throws an `ApiPortTakenError` if the
 * given port is taken.
 */
export async function listenOnLoopback(
  server: Server,
  dataDir: string,
  given: Address | undefined,
  log: LogError
): Promise<Address> {
  const { host, port } = given ?? DEFAULT_ADDRESS
  const before = given === undefined ? await rememberedPort(dataDir, log) : undefined
  const tries = given === undefined ? [...(before === undefined ? [] : [before]), port, 0] : [port]
  for (const candidate of tries) {
    try {
      await listenOn(server, { host, port: candidate })
      const bound = (server.address() as AddressInfo).port
      if (given === undefined && bound !== before) await rememberPort(dataDir, bound, log)
      return { host, port: bound }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
  throw portTaken({ host, port })
}

function portTaken({ host, port }: Address): ApiPortTakenError {
  return new ApiPortTakenError(`${host}:${port}: another program is using this port: stop it, or give another --api`)
}

/**
 * Throws an `ApiPortTakenError` if the given port is taken, so that a start can be refused before anything is written.
 */
export async function checkPortFree(address: Address): Promise<void> {
  const server = createServer()
  try {
    await listenOn(server, address)
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? portTaken(address) : error
  }
  await closeServer(server)
}

/**
 * Listens on a socket in the data directory and returns its path. If that path is too long for the operating system, or
 * the disk has no sockets, the socket is in a temporary folder that only this user can open.
 */
export async function listenOnSocket(server: Server, dataDir: string): Promise<string> {
  if (process.platform === 'win32') {
    const path = `\\\\.\\pipe\\dfs-${randomBytes(8).toString('hex')}`
    await listenOn(server, { path })
    return path
  }
  const beside = join(dataDir, SOCKET_FILE)
  let why: unknown = new InvalidInputError('its path is too long for a socket')
  if (Buffer.byteLength(beside) <= SOCKET_PATH_BYTES_MAX) {
    // We hold the lock on the data directory, so the process that left a socket behind has ended.
    await rm(beside, { force: true })
    try {
      return await listenPrivately(server, beside)
    } catch (error) {
      // Memory sticks and some network drives have no sockets.
      why = error
    }
  }
  for (const parent of [process.env['XDG_RUNTIME_DIR'], tmpdir(), '/tmp']) {
    const folder = join(parent || '/tmp', `dfs-${randomBytes(8).toString('hex')}`)
    const path = join(folder, SOCKET_FILE)
    if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) continue
    try {
      await mkdir(folder, { mode: 0o700 })
      return await listenPrivately(server, path)
    } catch (error) {
      why = error
      await rm(folder, { recursive: true, force: true })
    }
  }
  throw new InvalidInputError(
    'there is no place for the socket of the API: set XDG_RUNTIME_DIR to a folder of your own with a short path, or give a shorter --data-dir',
    { cause: why }
  )
}

async function listenPrivately(server: Server, path: string): Promise<string> {
  await listenOn(server, { path })
  await chmod(path, 0o600)
  return path
}

/** Removes the files that `listenOnSocket` created. */
export async function removeSocket(path: string, dataDir: string): Promise<void> {
  if (process.platform === 'win32') return
  await rm(path, { force: true })
  if (dirname(path) !== dataDir) await rm(dirname(path), { recursive: true, force: true })
}

/** Stops accepting requests, and cuts off those that have not ended after `CLOSE_MS`. */
export function closeServer(server: Server): Promise<void> {
  return new Promise(resolve => {
    const cut = setTimeout(() => server.closeAllConnections(), CLOSE_MS)
    server.close(() => {
      clearTimeout(cut)
      resolve()
    })
    server.closeIdleConnections()
  })
}

/** Replaces a whole file. Only this user can read the new file. */
export async function writePrivately(path: string, text: string): Promise<void> {
  const temp = `${path}.new`
  await rm(temp, { force: true })
  await writeFile(temp, text, { mode: 0o600, flag: 'wx' })
  await rename(temp, path)
}

/**
 * Saves the port for the next start. On a full disk the API runs all the same, and may get another port at the next
 * start.
 */
async function rememberPort(dataDir: string, port: number, log: LogError): Promise<void> {
  try {
    await writePrivately(join(dataDir, PORT_FILE), `${port}\n`)
  } catch (error) {
    log('the port of the API could not be saved for the next start', error)
  }
}

async function rememberedPort(dataDir: string, log: LogError): Promise<number | undefined> {
  const text = await readFile(join(dataDir, PORT_FILE), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') log('the remembered port of the API cannot be read', error)
    return ''
  })
  const port = Number(text)
  return Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined
}

function listenOn(server: Server, where: Address | { path: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(where, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
