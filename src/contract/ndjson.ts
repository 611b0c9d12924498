/** The media type of an answer with many values: a stream of lines, each with one JSON value. */
export const NDJSON_TYPE = 'application/x-ndjson'

export function encodeLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`
}

/**
 * Decodes a stream of lines. Throws a `SyntaxError` for a line that is not JSON. Text after the last `\n` is ignored.
 */
export async function* decodeLines(source: AsyncIterable<string>): AsyncGenerator<unknown> {
  let rest = ''
  for await (const text of source) {
    const lines = (rest + text).split('\n')
    rest = lines.pop() as string
    for (const line of lines) yield JSON.parse(line)
  }
}
