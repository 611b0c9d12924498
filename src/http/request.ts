import type { Copies, PutOptions, Range } from '../index.ts'
import { TYPE_BYTES_MAX } from './constants.ts'
import { HttpError } from './errors.ts'

/** A time as in RFC 3339. The year may also have a sign and six digits, since files have times beyond the year 9999. */
const TIME = /^([+-]\d{6}|\d{4})-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/

/**
 * Parses the facts about a file in a put: a time as in RFC 3339, permission bits in octal, and a media type. Throws an
 * `HttpError` (400) for any other text.
 */
export function factsOf(given: {
  modified: string | null
  mode: string | null
  type: string | undefined
}): Pick<PutOptions, 'modified' | 'mode' | 'type'> {
  const { modified, mode, type } = given
  if (type !== undefined && Buffer.byteLength(type) > TYPE_BYTES_MAX)
    throw new HttpError(400, 'invalid', `the media type is too long: it may have ${TYPE_BYTES_MAX} bytes`)
  const date = modified === null ? undefined : new Date(TIME.test(modified) ? modified : Number.NaN)
  if (date !== undefined && Number.isNaN(date.getTime()))
    throw new HttpError(400, 'invalid', '"modified" is not a time as in RFC 3339')
  if (mode !== null && !/^[0-7]{1,4}$/.test(mode))
    throw new HttpError(400, 'invalid', '"mode" is not one to four octal digits')
  return {
    modified: date,
    mode: mode === null ? undefined : Number.parseInt(mode, 8),
    type: type === 'application/octet-stream' ? undefined : type
  }
}

/** Parses the rules of a put from a query. Throws what `copiesIn` throws. */
export function rulesOf(query: URLSearchParams): Pick<PutOptions, 'replicas' | 'ack' | 'noClobber'> {
  return {
    replicas: copiesIn(query.get('replicas')),
    ack: copiesIn(query.get('ack')),
    noClobber: query.get('noClobber') === 'true'
  }
}

/**
 * Parses a number of copies from a query; the node checks its bound. Throws an `HttpError` (400) for text that is
 * neither `all` nor a number.
 */
export function copiesIn(text: string | null): Copies | undefined {
  if (text === null || text === 'all') return text ?? undefined
  if (!/^\d{1,4}$/.test(text)) throw new HttpError(400, 'invalid', 'the number of copies is neither "all" nor a number')
  return Number(text)
}

/**
 * Parses a `Range` header with one range (RFC 9110, section 14). Returns undefined for the whole file, and for every
 * header that section 14 allows a server to ignore. Throws an `HttpError` (416) for a range beyond the end.
 */
export function parseRange(header: string | undefined, size: number): Range | undefined {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? []
  if (first === undefined || last === undefined || (first === '' && last === '')) return undefined
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined
  const range =
    first === ''
      ? { from: Math.max(0, size - Number(last)), to: size - 1 }
      : { from: Number(first), to: last === '' ? size - 1 : Math.min(Number(last), size - 1) }
  if (range.from < size) return range
  throw new HttpError(416, 'invalid', `the range begins beyond the end of the file, which has ${size} bytes`, {
    'content-range': `bytes */${size}`
  })
}

/**
 * Returns true if a condition contains this tag or `*`. In a strong comparison a weak tag never matches (RFC 9110,
 * 8.8.3).
 */
export function matchesTag(header: string, tag: string, comparison: 'strong' | 'weak'): boolean {
  if (header.trim() === '*') return true
  const wanted = `"${tag}"`
  return header.split(',').some(item => {
    const given = item.trim()
    return given === wanted || (comparison === 'weak' && given === `W/${wanted}`)
  })
}

/**
 * Returns the one tag in the `If-Match` of a change. Throws an `HttpError` (400) for several tags, a weak tag, or `*`.
 */
export function tagIn(header: string): string {
  const tag = /^"([^"]+)"$/.exec(header.trim())?.[1]
  if (tag === undefined) throw new HttpError(400, 'invalid', 'If-Match must name one tag, in quotes')
  return tag
}
