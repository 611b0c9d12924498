import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os'
import { z } from 'zod'
import { FileMissingError } from '../disk/errors.ts'
import { type Files, replaceFile } from '../disk/files.ts'
import { utf8 } from '../util/bytes.ts'
import { checkPort, portOf } from '../wire/addresses.ts'
import { PortTakenError } from '../wire/errors.ts'

/** The addresses of this machine, by the names of its interfaces. */
type Interfaces = NodeJS.Dict<Array<Pick<NetworkInterfaceInfo, 'family' | 'internal'>>>

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
export async function startOnDefaultPorts<T>(
  files: Files,
  start: (listen: string[]) => Promise<T>,
  interfaces: () => Interfaces = networkInterfaces
): Promise<T> {
  for (let choice = 1; ; choice++) {
    try {
      return await start(await defaultListen(files, everywhere(interfaces())))
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
async function defaultListen(files: Files, host: string): Promise<string[]> {
  const { tcp, ws } = (await readPorts(files)) ?? DEFAULT_PORTS
  return [await freeOr(`${host}/tcp/${tcp}`), await freeOr(`${host}/tcp/${ws}`, '/ws')]
}

/**
 * Returns the address that means every address of this machine. It is one of IPv4 unless the machine has only IPv6: at
 * home, a router keeps the internet away from IPv4, but not always from IPv6, so nobody should listen there unasked.
 */
function everywhere(interfaces: Interfaces): string {
  const others = Object.values(interfaces).flatMap(infos => infos?.filter(({ internal }) => !internal) ?? [])
  const isIpv6Only = others.length > 0 && others.every(({ family }) => family === 'IPv6')
  return isIpv6Only ? '/ip6/::' : '/ip4/0.0.0.0'
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
