import { asBuffer } from '../util/bytes.ts'
import { type BlockCid, parseCid } from './cid.ts'
import { FormatError } from './errors.ts'
import { KEY_BYTES } from './seal.ts'

/**
 * A string that is the permission to read one file's content: it names the root and holds its key. It does not expire
 * and cannot be revoked. The optional address is where a gateway serves the sealed blocks. One capability has one text.
 */
export interface Capability {
  root: BlockCid
  key: Uint8Array
  /** An `https:` URL, written as `URL.href` writes it. */
  gateway?: string
}

const PREFIX = 'dfscap1'
/** In characters: a root and a key have about 110, the rest is the address. */
const LENGTH_MAX = 2048

/** Writes a capability; a `FormatError` for one that could not be read again. */
export function formatCapability(capability: Capability): string {
  const text = textOf(capability)
  parseCapability(text, [capability.root.code])
  return text
}

/** Reads a capability; a `FormatError` for anything else. `nodeCodecs` as with `checkCid`. */
export function parseCapability(text: string, nodeCodecs?: readonly number[]): Capability {
  if (text.length > LENGTH_MAX) throw new FormatError('capability is too long')
  const at = text.indexOf('@')
  const [prefix, root, key, ...rest] = (at < 0 ? text : text.slice(0, at)).split('.')
  if (prefix !== PREFIX || root === undefined || key === undefined || rest.length > 0) {
    throw new FormatError(`a capability reads ${PREFIX}.ROOT.KEY`)
  }
  const capability: Capability = { root: parseCid(root, nodeCodecs), key: Buffer.from(key, 'base64url') }
  if (capability.key.byteLength !== KEY_BYTES) throw new FormatError('the key in this capability is not 32 bytes')
  if (at >= 0) capability.gateway = checkAddress(text.slice(at + 1))
  // Roots in another base and keys with spare bits are read by the decoders.
  if (textOf(capability) !== text) throw new FormatError('capability is not in its canonical form')
  return capability
}

function textOf({ root, key, gateway }: Capability): string {
  const text = `${PREFIX}.${root.toString()}.${asBuffer(key).toString('base64url')}`
  return gateway === undefined ? text : `${text}@${gateway}`
}

// As the URL Standard writes it: in ASCII, without white space or control characters, and in one way only.
function checkAddress(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'https:' || url.href !== text || url.username !== '' || url.password !== '')
    throw new FormatError('the address in this capability is not an https URL in its canonical form')
  return text
}
