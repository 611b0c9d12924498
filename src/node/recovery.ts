import { claimDirectory } from '../disk/directory-claim.ts'
import { Keystore } from '../disk/keystore.ts'
import { MonitoredFiles } from '../disk/monitored-files.ts'
import { networkKeyWords } from '../format/network-key.ts'
import { systemChance } from '../util/chance.ts'
import { type ComponentLogger, debugLogger } from '../util/logger.ts'

/** A data directory, and what opens its keystore. No node has to run on it. */
export interface KeystorePlace {
  dataDir: string
  passphrase?: string | undefined
  logger?: ComponentLogger | undefined
}

/**
 * Returns the 24 words of the network key, or undefined if the keystore in this directory does not hold the key, or if
 * there is none. A node may run on the directory. Throws `wrong-key` for the passphrase, and the errors of the disk.
 */
export async function readRecoveryWords(place: KeystorePlace): Promise<string | undefined> {
  const secrets = await keystoreIn(place).load()
  return secrets?.networkKey === undefined ? undefined : networkKeyWords(secrets.networkKey)
}

/**
 * Removes the network key from the keystore in this directory. `forgotten` is false if it did not hold the key. Durable
 * when it resolves. Throws `locked` if a node runs on the directory, because then that node must remove it
 * (`DfsNode.forgetNetworkKey`), and what `readRecoveryWords` throws.
 */
export async function forgetNetworkKey(place: KeystorePlace): Promise<{ forgotten: boolean }> {
  const { dataDir, logger = debugLogger } = place
  const keystore = keystoreIn(place)
  if ((await keystore.load())?.networkKey === undefined) return { forgotten: false }
  const directory = await claimDirectory(dataDir, { logger })
  try {
    await keystore.update(({ networkKey: _, ...rest }) => rest)
    return { forgotten: true }
  } finally {
    await directory.release({ undo: false })
  }
}

function keystoreIn({ dataDir, passphrase, logger = debugLogger }: KeystorePlace): Keystore {
  return new Keystore({ files: new MonitoredFiles(dataDir), chance: systemChance, logger, passphrase })
}
