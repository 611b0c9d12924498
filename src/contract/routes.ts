/** The routes that carry the bytes of files. The others are in the table of verbs. */
export const FILES_ROUTE = '/v1/files'
export const TRANSFERS_ROUTE = '/v1/transfers'

/**
 * Encodes a path of the network for a URL. Each part is encoded separately, so that no character of a name has a
 * special meaning in the URL. The path must be well-formed Unicode. Its leading slash may be missing.
 */
export function encodePath(path: string): string {
  const rooted = path.startsWith('/') ? path : `/${path}`
  return rooted.split('/').map(encodeURIComponent).join('/')
}
