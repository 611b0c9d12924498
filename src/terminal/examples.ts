import { tableLines } from './table.ts'

/** A command line, and what it does in a few words. */
export type Example = readonly [line: string, what: string]

/** Returns the examples of a help text, in two columns. */
export function examplesText(examples: readonly Example[]): string {
  return ['Examples:', ...tableLines(examples).map(line => `  ${line}`)].join('\n')
}
