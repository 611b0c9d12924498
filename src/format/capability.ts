import { asBuffer } from '../util/bytes.ts'
import { type BlockCid, parseCid } from './cid.ts'
import { FormatError } from './errors.ts'
import { KEY_BYTES } from './seal.ts'

/**
 * A string that is the permission to read one file's content: it names the root and holds its key. It does not expire
 * and cannot be revoked. The optional address is where a gateway serves the sealed blocks.
 */
export interface Capability {
  root: BlockCid
  key: Uint8Array
  gateway?: string
}

const PREFIX = 'dfscap1'
/** In characters: a root and a key have about 110, the rest is the address. */
const LENGTH_MAX = 2048

export function formatCapability({ root, key, gateway }: Capability): string {
  const text = `${PREFIX}.${root.toString()}.${asBuffer(key).toString('base64url')}`
  return gateway === undefined ? text : `${text}@${gateway}`
}

/** Reads a capability; a `FormatError` for anything else. `nodeCodecs` as with `checkCid`. */
export function parseCapability(text: string, nodeCodecs?: readonly number[]): Capability {
  if (text.length > LENGTH_MAX) throw new FormatError('capability is too long')
  const at = text.indexOf('@')
  const [prefix, root, key, ...rest] = (at < 0 ? text : text.slice(0, at)).split('.')
  if (prefix !== PREFIX || root === undefined || key === undefined || rest.length > 0) {
    throw new FormatError(`a capability reads ${PREFIX}.ROOT.KEY`)
  }
  const keyBytes = Buffer.from(key, 'base64url')
  if (keyBytes.byteLength !== KEY_BYTES || keyBytes.toString('base64url') !== key) {
    throw new FormatError('the key in this capability is not 32 bytes')
  }
  const capability = { root: parseCid(root, nodeCodecs), key: keyBytes }
  if (at < 0) return capability
  const gateway = text.slice(at + 1)
  if (!URL.canParse(gateway) || new URL(gateway).protocol !== 'https:')
    throw new FormatError('the address in this capability is not https')
  return { ...capability, gateway }
}
