import type { z } from 'zod'
import type { Json } from './json.ts'
import { type CallVerb, call, type StreamVerb, stream, type Zod } from './verb.ts'

/** A query field that is true only if its text is `true`. */
const flag = (z: Zod) =>
  z
    .string()
    .optional()
    .transform(text => text === 'true')
/** The same, but a client need not say it. */
const flagIfGiven = (z: Zod) =>
  z
    .string()
    .transform(text => text === 'true')
    .optional()
const none = (z: Zod) => z.object({})
const onePath = (z: Zod) => z.object({ path: z.string() })
const role = (z: Zod) => z.enum(['admin', 'writer', 'reader', 'storage'])
const twoPaths = (z: Zod) => z.strictObject({ from: z.string(), to: z.string(), noClobber: z.boolean().optional() })

/**
 * Every verb that is one plain request, defined once for server and client: its route, its fields, and the method of
 * the node that it calls. Requests that carry the bytes of files (put, get, bundles) have their own handlers. SPEC.md
 * in http/ describes each route.
 */
export const VERBS = {
  list: stream({
    method: 'GET',
    route: '/v1/list/*',
    fields: z => z.object({ path: z.string(), recursive: flag(z), here: flagIfGiven(z), deleted: flagIfGiven(z) }),
    run: (node, { path, recursive, here, deleted }, options) =>
      node.list(path, { recursive, here, deleted, ...options })
  }),
  /** Asked with `Accept: text/event-stream`, the server answers with server-sent events instead of lines. */
  watch: stream({
    method: 'GET',
    route: '/v1/watch/*',
    fields: z => z.object({ path: z.string(), recursive: flag(z), list: flagIfGiven(z), since: z.string().optional() }),
    run: (node, { path, recursive, list, since }, options) => node.watch(path, { recursive, list, since, ...options })
  }),
  copies: stream({
    method: 'GET',
    route: '/v1/copies/*',
    fields: onePath,
    run: (node, { path }, options) => node.copies(path, options)
  }),
  stat: call({
    method: 'GET',
    route: '/v1/stat/*',
    fields: onePath,
    run: (node, { path }, options) => node.stat(path, options)
  }),
  mkdir: call({
    method: 'POST',
    route: '/v1/mkdir/*',
    fields: onePath,
    run: (node, { path }, options) => node.mkdir(path, options)
  }),
  move: call({
    method: 'POST',
    route: '/v1/move',
    fields: twoPaths,
    run: (node, { from, to, noClobber }, options) => node.move(from, to, { noClobber, ...options })
  }),
  copy: call({
    method: 'POST',
    route: '/v1/copy',
    fields: twoPaths,
    run: (node, { from, to, noClobber }, options) => node.copy(from, to, { noClobber, ...options })
  }),
  copying: stream({
    method: 'POST',
    route: '/v1/copying',
    fields: twoPaths,
    run: (node, { from, to, noClobber }, options) => node.copying(from, to, { noClobber, ...options })
  }),
  remove: call({
    method: 'DELETE',
    route: '/v1/files/*',
    fields: z =>
      z.object({
        ...{
          path: z.string(),
          recursive: flag(z),
          purge: flagIfGiven(z),
          wait: flagIfGiven(z),
          ifTag: z.string().optional()
        }
      }),
    run: (node, { path, ...given }, options) => node.remove(path, { ...given, ...options })
  }),
  cancelPurge: call({
    method: 'POST',
    route: '/v1/cancel-purge/*',
    fields: onePath,
    run: (node, { path }, options) => node.cancelPurge(path, options)
  }),
  removing: stream({
    method: 'POST',
    route: '/v1/remove/*',
    fields: z => z.strictObject({ path: z.string(), recursive: z.boolean().optional(), purge: z.boolean().optional() }),
    run: (node, { path, ...given }, options) => node.removing(path, { ...given, ...options })
  }),
  versions: stream({
    method: 'GET',
    route: '/v1/versions/*',
    fields: onePath,
    run: (node, { path }, options) => node.versions(path, options)
  }),
  restore: call({
    method: 'POST',
    route: '/v1/restore/*',
    fields: z => z.strictObject({ path: z.string(), version: z.string().optional() }),
    run: (node, { path, version }, options) => node.restore(path, { version, ...options })
  }),
  restoring: stream({
    method: 'POST',
    route: '/v1/restoring/*',
    fields: z => z.strictObject({ path: z.string(), version: z.string().optional() }),
    run: (node, { path, version }, options) => node.restoring(path, { version, ...options })
  }),
  evict: call({
    method: 'POST',
    route: '/v1/evict/*',
    fields: onePath,
    run: (node, { path }, options) => node.evict(path, options)
  }),
  gc: call({
    method: 'POST',
    route: '/v1/gc',
    fields: z => z.strictObject({ dryRun: z.boolean().optional() }),
    run: (node, { dryRun }, options) => node.gc({ dryRun, ...options })
  }),
  fsck: call({
    method: 'POST',
    route: '/v1/fsck',
    fields: z => z.strictObject({ readData: z.boolean().optional() }),
    run: (node, { readData }, options) => node.fsck({ readData, ...options })
  }),
  df: call({ method: 'GET', route: '/v1/df', fields: none, run: (node, _fields, options) => node.df(options) }),
  du: call({
    method: 'GET',
    route: '/v1/du/*',
    fields: onePath,
    run: (node, { path }, options) => node.du(path, options)
  }),
  status: call({ method: 'GET', route: '/v1/status', fields: none, run: node => node.status() }),
  peers: call({ method: 'GET', route: '/v1/peers', fields: none, run: node => node.peers() }),
  members: call({
    method: 'GET',
    route: '/v1/members',
    fields: none,
    run: (node, _fields, options) => node.members(options)
  }),
  approve: call({
    method: 'POST',
    route: '/v1/members/approve',
    fields: z => z.strictObject({ code: z.string(), role: role(z).optional() }),
    run: (node, { code, role }, options) => node.approve(code, { role, ...options })
  }),
  deny: call({
    method: 'POST',
    route: '/v1/members/deny',
    fields: z => z.strictObject({ code: z.string() }),
    run: (node, { code }, options) => node.deny(code, options)
  }),
  setRole: call({
    method: 'POST',
    route: '/v1/members/role',
    fields: z => z.strictObject({ member: z.string(), role: role(z) }),
    run: (node, { member, role }, options) => node.setRole(member, role, options)
  }),
  declareOut: call({
    method: 'POST',
    route: '/v1/members/out',
    fields: z => z.strictObject({ member: z.string() }),
    run: (node, { member }, options) => node.declareOut(member, options)
  }),
  invite: call({
    method: 'POST',
    route: '/v1/invites',
    fields: z =>
      z.strictObject({
        role: role(z).optional(),
        expiresMs: z.number().optional(),
        uses: z.union([z.number(), z.literal('unlimited')]).optional()
      }),
    run: (node, { role, expiresMs, uses }, options) => node.invite({ role, expiresMs, uses, ...options })
  }),
  invites: call({
    method: 'GET',
    route: '/v1/invites',
    fields: none,
    run: (node, _fields, options) => node.invites(options)
  }),
  revokeInvite: call({
    method: 'POST',
    route: '/v1/invites/revoke',
    fields: z => z.strictObject({ invite: z.string() }),
    run: (node, { invite }, options) => node.revokeInvite(invite, options)
  }),
  networkInfo: call({
    method: 'GET',
    route: '/v1/network',
    fields: none,
    run: (node, _fields, options) => node.networkInfo(options)
  }),
  settings: call({
    method: 'GET',
    route: '/v1/settings',
    fields: none,
    run: (node, _fields, options) => node.settings(options)
  }),
  setSetting: call({
    method: 'POST',
    route: '/v1/settings',
    fields: z =>
      z.strictObject({
        key: z.string(),
        value: z.union([z.number(), z.enum(['all', 'default', 'fixed', 'fastcdc'])])
      }),
    run: (node, { key, value }, options) => node.setSetting(key, value, options)
  }),
  forgetNetworkKey: call({
    method: 'POST',
    route: '/v1/network/forget',
    fields: none,
    run: (node, _fields, options) => node.forgetNetworkKey(options)
  })
}

type Verbs = typeof VERBS
type NameOf<Kind> = { [Name in keyof Verbs]: Verbs[Name] extends Kind ? Name : never }[keyof Verbs]

export type CallName = NameOf<CallVerb>
export type StreamName = NameOf<StreamVerb>

/** The fields that a client gives for a verb. */
export type FieldsOf<Name extends keyof Verbs> = z.output<ReturnType<Verbs[Name]['fields']>>

/** The type that a client receives: the answer, or each item of a stream. */
export type AnswerOf<Name extends keyof Verbs> =
  Verbs[Name] extends CallVerb<z.ZodObject, infer Answer>
    ? Json<Answer>
    : Verbs[Name] extends StreamVerb<z.ZodObject, infer Item>
      ? Json<Item>
      : never
