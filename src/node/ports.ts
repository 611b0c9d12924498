import { z } from 'zod'
import { FileMissingError } from '../disk/errors.ts'
import { type Files, replaceFile } from '../disk/files.ts'
import { utf8 } from '../util/bytes.ts'
import { checkPort, portOf } from '../wire/addresses.ts'
import { PortTakenError } from '../wire/errors.ts'

const NAME = 'ports.json'
const portsSchema = z.object({ tcp: z.number().int(), ws: z.number().int() })
type Ports = z.infer<typeof portsSchema>

const DEFAULT_PORTS: Ports = { tcp: 3000, ws: 3001 }
/** How often the ports are chosen again if another program takes one between the choice and the start. */
const CHOICES_MAX = 3

/**
 * Calls `start` with the default addresses to listen on. They are chosen now and not when the process starts, because a
 * machine may wait for hours to be let in, and another program may take a port meanwhile.
 */
export async function startOnDefaultPorts<T>(files: Files, start: (listen: string[]) => Promise<T>): Promise<T> {
  for (let choice = 1; ; choice++) {
    try {
      return await start(await defaultListen(files))
    } catch (error) {
      if (!(error instanceof PortTakenError) || choice === CHOICES_MAX) throw error
    }
  }
}

/**
 * Returns the default addresses to listen on. They have the ports that this node used before, or the usual ports at the
 * first start. A port that is taken is replaced by a free one. If a node keeps its ports, others find it again at the
 * addresses that they remember.
 */
async function defaultListen(files: Files): Promise<string[]> {
  const { tcp, ws } = (await readPorts(files)) ?? DEFAULT_PORTS
  return [await freeOr(`/ip4/0.0.0.0/tcp/${tcp}`), await freeOr(`/ip4/0.0.0.0/tcp/${ws}`, '/ws')]
}

/** Saves the ports on which a started node listens, for the next start. */
export async function rememberPorts(files: Files, addresses: readonly string[]): Promise<void> {
  const ws = addresses.find(address => address.endsWith('/ws'))
  const tcp = addresses.find(address => address !== ws && !address.endsWith('/ws'))
  const ports = { tcp: tcp === undefined ? undefined : portOf(tcp), ws: ws === undefined ? undefined : portOf(ws) }
  const before = await readPorts(files)
  if (ports.tcp === undefined || ports.ws === undefined) return
  if (before?.tcp === ports.tcp && before.ws === ports.ws) return
  await replaceFile(files, NAME, utf8(`${JSON.stringify(ports)}\n`))
}

async function readPorts(files: Files): Promise<Ports | undefined> {
  try {
    const parsed = portsSchema.safeParse(JSON.parse(Buffer.from(await files.read(NAME)).toString('utf8')))
    return parsed.success ? parsed.data : undefined
  } catch (error) {
    if (error instanceof FileMissingError || error instanceof SyntaxError) return undefined
    throw error
  }
}

async function freeOr(address: string, suffix = ''): Promise<string> {
  try {
    await checkPort(address)
    return address + suffix
  } catch (error) {
    if (error instanceof PortTakenError) return address.replace(/\d+$/, '0') + suffix
    throw error
  }
}
