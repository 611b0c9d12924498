import type { Role } from '../index.ts'
import { usage } from '../terminal/errors.ts'

const ROLES: readonly Role[] = ['admin', 'writer', 'reader', 'storage']

/** How the help writes the value of a role. */
export const ROLE_VALUES: string = ROLES.join('|')

/** Returns the parser of a role. Its errors begin with `what`, the flag or the argument that the user gave. */
export function roleOf(what: string): (text: string) => Role {
  return text => {
    const role = ROLES.find(role => role === text)
    if (role === undefined) throw usage(`${what}: "${text}" is not a role: give one of ${ROLES.join(', ')}`)
    return role
  }
}

/** Returns the words for a device with a role, such as `an admin`. */
export function withArticle(role: Role): string {
  if (role === 'storage') return 'a storage member'
  return role === 'admin' ? 'an admin' : `a ${role}`
}
