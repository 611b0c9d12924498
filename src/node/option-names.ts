import type { NodeOptions } from '../options.ts'
import { InvalidInputError } from '../util/errors.ts'

// The compiler checks that no option is missing here.
const NAMES: Readonly<Record<keyof NodeOptions, true>> = {
  dataDir: true,
  ownersFiles: true,
  confirmFirstStart: true,
  listen: true,
  announce: true,
  bootstrap: true,
  mdns: true,
  found: true,
  networkKey: true,
  join: true,
  role: true,
  choose: true,
  passphrase: true,
  name: true,
  capacityBytes: true,
  replicas: true,
  ack: true,
  chunker: true,
  outAfterMs: true,
  onEvent: true,
  logger: true,
  transports: true,
  blockstore: true,
  codec: true,
  clock: true,
  chance: true
}

/** Throws an `InvalidInputError` for an option that does not exist, which would otherwise have no effect, silently. */
export function assertKnownOptions(options: NodeOptions): void {
  for (const name of Object.keys(options))
    if (!Object.hasOwn(NAMES, name)) throw new InvalidInputError(`createNode has no option "${name}"`)
}
