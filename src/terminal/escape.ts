/**
 * Makes text from elsewhere harmless for a terminal. It replaces two kinds of characters with visible escapes: control
 * characters, which could move the cursor or set the title, and characters that change the direction of text.
 */
export function escapeForTerminal(text: string): string {
  return text.replace(/[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu, character => {
    const code = character.codePointAt(0) as number
    return `\\u{${code.toString(16)}}`
  })
}
