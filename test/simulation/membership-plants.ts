import type { Plant } from './whole/plants.ts'

const FOLD = 'src/members/membership-fold.ts'
const AUTHORITY = 'src/members/authority.ts'
const ROSTER = 'src/members/roster.ts'

/** Faults that the model of `membership.test.ts` must find. `scripts/plant.ts` plants them with those of `whole/`. */
export const MEMBERSHIP_PLANTS: readonly Plant[] = [
  plant('an invite lets in the devices whose grants arrive first', FOLD, 'this.#grants.sort(compareGrants)', ''),
  plant(
    'the signatures in a grant are not checked',
    AUTHORITY,
    '  return { signatures }\n',
    '  return { signatures: [] }\n'
  ),
  plant('the role of an invite is not compared', AUTHORITY, 'role !== invite.fields.role || ', ''),
  plant(
    'a device that a void device let in is a member',
    FOLD,
    "!== 'effective') return 'issuer-void'",
    "=== undefined) return 'issuer-void'"
  ),
  plant(
    'an earlier grant takes effect before a higher role',
    ROSTER,
    'if (rankA !== rankB) return rankA > rankB ? a : b',
    ''
  ),
  plant('an invite of a void admin lets devices in', FOLD, 'isRevoked || !this.isOfEffective(invite)', 'isRevoked'),
  plant('a revocation by a void admin counts', FOLD, ' && this.isOfEffective(revocation)\n', '\n'),
  plant('a revocation reaches back', FOLD, 'revocation.hlc < statement.hlc && ', ''),
  plant('a revocation that comes late is not followed', FOLD, 'if (this.#uses.has(target)) this.#isStale = true', ''),
  plant(
    'an earlier use that comes late is not followed',
    FOLD,
    'return used.last !== undefined && compareGrants(grant, used.last) < 0',
    'return false'
  ),
  plant(
    'the last use of an invite is taken for the first',
    FOLD,
    'if (used.last === undefined || compareGrants(used.last, grant) < 0) used.last = grant',
    'used.last ??= grant'
  ),
  plant('a device uses an invite twice', FOLD, "if (used.grants.has(subject)) return 'effective'\n", ''),
  plant(
    'nobody asks whether an invite is void',
    FOLD,
    "if (isRevoked || !this.isOfEffective(invite)) return 'invite-void'",
    ''
  ),
  plant('a writer lets in an admin', AUTHORITY, "role !== 'admin' && zone", 'zone'),
  plant('a writer grants a zone', AUTHORITY, 'zone === undefined && capacityMax', 'capacityMax'),
  plant('a grant is stamped with its invite', AUTHORITY, 'statement.hlc > invite.hlc', 'statement.hlc >= invite.hlc'),
  plant('an invite does not end', AUTHORITY, ' && statement.hlc <= decodeHlc(invite.fields.notAfter)', ''),
  plant('a chain has five grants', AUTHORITY, 'grant.depth + 1 >= CHAIN_MAX', 'grant.depth >= CHAIN_MAX'),
  plant(
    'the roster is not judged again after the fold',
    ROSTER,
    'if (this.#fold.settle()) for',
    'if (this.#fold.settle() && added.length > 9) for'
  )
]

function plant(name: string, file: string, find: string, replace: string): Plant {
  return { name: `membership: ${name}`, model: 'membership', edits: [{ file, find, replace }] }
}
