/** Answers of one JSON value a line, as they come. */
export const NDJSON_HEADERS = { 'content-type': 'application/x-ndjson', 'x-content-type-options': 'nosniff' }

export function line(value: unknown): string {
  return `${JSON.stringify(value)}\n`
}
