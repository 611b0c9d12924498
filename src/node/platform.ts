import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import type { NodeOptions } from '../api.ts'
import type { Database } from '../disk/index-db.ts'
import type { Secrets } from '../disk/keystore.ts'
import type { Clock } from '../util/clock.ts'
import type { ComponentLogger } from '../util/logger.ts'
import type { Host } from '../wire/host.ts'
import { Libp2pHost } from '../wire/libp2p-host.ts'

/** The path of the index inside the data directory. */
export const INDEX_FOLDER = 'index'

/** A host that can look again at the interfaces on which it finds others. */
export type NodeHost = Host & Pick<Libp2pHost, 'refreshDiscovery'>

export interface HostInit {
  secrets: Pick<Secrets, 'device'>
  /** The multiaddrs to listen on. */
  listen: readonly string[]
  /** Whether to find others on the local network, if the options say nothing else. By default it does. */
  mdns?: boolean | undefined
  clock: Clock
  logger: ComponentLogger
}

/**
 * What a node runs on, apart from its files: the database of its index and the wire. `systemPlatform` is the real one.
 * The simulator runs whole nodes in one process on another one.
 */
export interface Platform {
  /** Returns the database in `INDEX_FOLDER`, which is not open yet. Each stack takes one. */
  database(): Database
  /** Returns a host that is not started yet. Each stack takes one. */
  host(init: HostInit): Promise<NodeHost>
}

/** LevelDB in the data directory, and libp2p. */
export function systemPlatform(options: NodeOptions): Platform {
  return {
    database: () => {
      const path = join(options.dataDir, INDEX_FOLDER)
      const level = new ClassicLevel<Uint8Array, Uint8Array>(path, { keyEncoding: 'view', valueEncoding: 'view' })
      return level as unknown as Database
    },
    host: ({ secrets, listen, mdns = true, clock, logger }) =>
      Libp2pHost.create({
        deviceSeed: secrets.device,
        listen,
        // A machine that listens nowhere cannot be reached.
        announce: listen.length === 0 && options.transports === undefined ? [] : options.announce,
        mdns: mdns && (options.mdns ?? true),
        transports: options.transports,
        logger,
        clock
      })
  }
}
