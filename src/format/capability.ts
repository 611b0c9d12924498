import { asBuffer } from '../util/bytes.ts'
import { type BlockCid, parseCid } from './cid.ts'
import { FormatError } from './errors.ts'
import { KEY_BYTES } from './seal.ts'

/**
 * The permission to read the content of one file, as a string that contains the CID of the root and its key. It does
 * not expire and cannot be revoked. It may contain the address of a gateway that serves the sealed blocks. Each
 * capability has exactly one text form.
 */
export interface Capability {
  root: BlockCid
  key: Uint8Array
  /** An `https:` URL, exactly as `URL.href` writes it. */
  gateway?: string
}

const PREFIX = 'dfscap1'
/** The most characters in a capability. A root and a key take about 110. The rest is for the address. */
const LENGTH_MAX = 2048

/** Formats a capability as text. Throws a `FormatError` if the text could not be parsed again. */
export function formatCapability(capability: Capability): string {
  const text = textOf(capability)
  parseCapability(text, [capability.root.code])
  return text
}

/** Parses a capability. Throws a `FormatError` for any other text. For `nodeCodecs` see `checkCid`. */
export function parseCapability(text: string, nodeCodecs?: readonly number[]): Capability {
  if (text.length > LENGTH_MAX) throw new FormatError(`a capability has at most ${LENGTH_MAX} characters`)
  const at = text.indexOf('@')
  const [prefix, root, key, ...rest] = (at < 0 ? text : text.slice(0, at)).split('.')
  if (prefix !== PREFIX || root === undefined || key === undefined || rest.length > 0) {
    throw new FormatError(`a capability has the form ${PREFIX}.ROOT.KEY: copy all of it`)
  }
  const capability: Capability = { root: parseCid(root, nodeCodecs), key: Buffer.from(key, 'base64url') }
  if (capability.key.byteLength !== KEY_BYTES)
    throw new FormatError('the key in this capability is not 32 bytes long: copy all of it')
  if (at >= 0) capability.gateway = checkAddress(text.slice(at + 1))
  // The decoders also accept roots in another base and keys whose unused bits are not zero, so we compare the text.
  if (textOf(capability) !== text)
    throw new FormatError('this capability is not in its canonical form: copy it exactly as it was printed')
  return capability
}

function textOf({ root, key, gateway }: Capability): string {
  const text = `${PREFIX}.${root.toString()}.${asBuffer(key).toString('base64url')}`
  return gateway === undefined ? text : `${text}@${gateway}`
}

// According to the URL Standard, each URL has one serialization, in ASCII and without white space or control
// characters.
function checkAddress(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'https:' || url.href !== text || url.username !== '' || url.password !== '')
    throw new FormatError('the address in this capability is not an https URL in its canonical form')
  return text
}
