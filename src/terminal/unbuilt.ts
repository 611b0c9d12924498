import { usage } from './errors.ts'

/**
 * Refuses flags that are promised but not built yet. They are refused by name, so that nobody believes that they had an
 * effect. `names` are given without dashes.
 */
export function refuseUnbuiltFlags(args: readonly string[], names: readonly string[]): void {
  for (const arg of args) {
    // Nothing after `--` is a flag.
    if (arg === '--') return
    const name = /^--([a-z0-9-]+)/.exec(arg)?.[1]
    if (name !== undefined && names.includes(name)) throw usage(`--${name} is not built yet`)
  }
}
