import { escapeForTerminal } from './escape.ts'

const GAP = '  '

/**
 * Returns the lines of a table whose columns are aligned. Every cell is escaped, on a terminal or not, because a cell
 * may come from another machine, and a line break in it would forge a row.
 */
export function tableLines(rows: ReadonlyArray<readonly string[]>): string[] {
  const cells = rows.map(row => row.map(escapeForTerminal))
  const widths: number[] = []
  for (const row of cells)
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, lengthOf(cell))
  return cells.map(row =>
    row
      .map((cell, column) => pad(cell, widths[column] as number))
      .join(GAP)
      .trimEnd()
  )
}

function pad(cell: string, width: number): string {
  return cell + ' '.repeat(width - lengthOf(cell))
}

/** The number of characters, not of UTF-16 units. */
function lengthOf(text: string): number {
  return [...text].length
}
