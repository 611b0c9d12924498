import {
  CAPACITY_BYTES_MAX,
  CHUNKERS,
  type ChunkerName,
  OUT_AFTER_MS_MAX,
  QUOTA_STATEMENTS_MAX,
  REPLICAS_MAX,
  VERSION_DAYS_MAX
} from '../format/constants.ts'
import type { Fields } from '../format/kinds.ts'
import { peerIdOf } from '../format/peer-id.ts'
import { encodeReplicas } from '../format/replicas.ts'
import { hlcMs } from '../format/stamp.ts'
import { InvalidInputError } from '../util/errors.ts'
import type { Authority } from './authority.ts'
import {
  DAY_MS,
  OUT_AFTER_MS_MIN,
  QUOTA_BYTES_MIN,
  QUOTA_STATEMENTS_MIN,
  REPLICAS_DEFAULT,
  VERSION_DAYS
} from './constants.ts'
import { NotBuiltSettingError } from './errors.ts'
import type { GrantSigner } from './joining/grant-signer.ts'
import type { Settings } from './settings.ts'
import type { SettingItem, SettingKey, SettingValue } from './types.ts'

export interface SetSettingOptions {
  settings: Settings
  roster: Pick<Authority, 'member'>
  signer: Pick<GrantSigner, 'assertAdmin' | 'sign' | 'keep'>
}

/** What a key may be set to. */
interface Bounds {
  min: number
  max: number
  /** The words that it may be set to, besides numbers. */
  choices: readonly SettingValue[]
  /** The bounds in words. */
  words: string
}

const COPIES: Bounds = {
  min: 1,
  max: REPLICAS_MAX,
  choices: ['all'],
  words: `a number from 1 to ${REPLICAS_MAX}, or "all"`
}
const BOUNDS: Readonly<Record<SettingKey, Bounds>> = {
  replicas: COPIES,
  ack: COPIES,
  chunker: { min: 0, max: -1, choices: CHUNKERS, words: `one of ${CHUNKERS.join(', ')}` },
  outAfter: {
    min: OUT_AFTER_MS_MIN,
    max: OUT_AFTER_MS_MAX,
    choices: [],
    words: `from ${OUT_AFTER_MS_MIN / 1_000} second to ${OUT_AFTER_MS_MAX / DAY_MS} days`
  },
  versionDays: {
    min: 0,
    max: VERSION_DAYS_MAX,
    choices: [],
    words: `a number of days from 0 to ${VERSION_DAYS_MAX.toLocaleString('en-US')}`
  },
  quotaStatements: {
    min: QUOTA_STATEMENTS_MIN,
    max: QUOTA_STATEMENTS_MAX,
    choices: [],
    words: `a number from ${QUOTA_STATEMENTS_MIN} to ${QUOTA_STATEMENTS_MAX.toLocaleString('en-US')}`
  },
  quotaBytes: {
    min: QUOTA_BYTES_MIN,
    max: CAPACITY_BYTES_MAX,
    choices: [],
    words: 'a size from 1 MiB to 1 PiB'
  }
}
const KEYS = Object.keys(BOUNDS) as readonly SettingKey[]
/** Settings that statements may have, and that have no effect yet. */
const NOT_BUILT: ReadonlySet<string> = new Set(['dedupe'])

/** Returns all settings, in the order in which they are documented. */
export function settingItems(options: Pick<SetSettingOptions, 'settings' | 'roster'>): SettingItem[] {
  return KEYS.map(key => itemOf(key, options))
}

/**
 * Signs a new value of a setting. Resolves once it is durable here, and sends it to the others. Throws an
 * `InvalidInputError`, a `NotBuiltSettingError`, a `NotAllowedError` or a `ClockOffError`.
 */
export async function setSetting(key: string, value: SettingValue, options: SetSettingOptions): Promise<SettingItem> {
  const { settings, signer } = options
  const known = knownKey(key)
  checkBounds(known, value)
  signer.assertAdmin('changes settings')
  checkAck(known, value, settings)
  const before = settings.settingOf(fieldOf(known))?.statement.hlc
  const fields = fieldsOf(known, encodeValue(value), settings)
  await signer.keep([signer.sign('settings', fields, ...(before === undefined ? [] : [before]))])
  return itemOf(known, options)
}

function knownKey(key: string): SettingKey {
  const known = KEYS.find(name => name === key)
  if (known !== undefined) return known
  if (NOT_BUILT.has(key)) throw new NotBuiltSettingError()
  throw new InvalidInputError(`there is no such setting: the settings are ${KEYS.join(', ')}`)
}

/** The field of the statement that holds a setting. Both quotas are in one field. */
function fieldOf(key: SettingKey): keyof Fields<'settings'> {
  return key === 'quotaStatements' || key === 'quotaBytes' ? 'quotas' : key
}

function encodeValue(value: SettingValue): number | ChunkerName | null {
  if (value === 'default') return null
  return value === 'all' ? encodeReplicas(Number.POSITIVE_INFINITY) : value
}

function fieldsOf(key: SettingKey, value: number | ChunkerName | null, settings: Settings): Fields<'settings'> {
  if (key !== 'quotaStatements' && key !== 'quotaBytes') return { [key]: value }
  const quota = key === 'quotaBytes' ? 'nodeBytes' : 'statements'
  const quotas = { ...settings.get('quotas') }
  // A quota that is left out has its default.
  if (value === null) delete quotas[quota]
  else quotas[quota] = value as number
  return { quotas }
}

function checkBounds(key: SettingKey, value: SettingValue): void {
  if (value === 'default') return
  const { min, max, choices, words } = BOUNDS[key]
  const fits =
    typeof value === 'number' ? Number.isInteger(value) && value >= min && value <= max : choices.includes(value)
  if (!fits) throw new InvalidInputError(`this setting takes ${words}`)
}

/** A put would wait in vain for more copies than it makes. */
function checkAck(key: SettingKey, value: SettingValue, { replicas, ack }: Settings): void {
  // The default of `ack` is as many as can be had.
  if ((key !== 'ack' && key !== 'replicas') || (key === 'ack' && value === 'default')) return
  const number = value === 'all' ? Number.POSITIVE_INFINITY : value === 'default' ? REPLICAS_DEFAULT : Number(value)
  if (key === 'ack' && number > replicas)
    throw new InvalidInputError('a put cannot wait for more copies than are made: set replicas first')
  if (key === 'replicas' && ack !== undefined && ack > number)
    throw new InvalidInputError('puts wait for more copies than that: set ack first')
}

function itemOf(key: SettingKey, { settings, roster }: Pick<SetSettingOptions, 'settings' | 'roster'>): SettingItem {
  const setting = isSet(key, settings) ? settings.settingOf(fieldOf(key)) : undefined
  const value = valueFor(key, settings)
  if (setting === undefined) return { key, value, default: true, setBy: null, setAt: null }
  const peerId = peerIdOf(setting.author)
  const setBy = { peerId, name: roster.member(peerId)?.name ?? peerId }
  return { key, value, default: false, setBy, setAt: new Date(hlcMs(setting.statement.hlc)) }
}

/** The statement that holds the quotas may set only one of them. */
function isSet(key: SettingKey, settings: Settings): boolean {
  const quotas = settings.get('quotas')
  if (key === 'quotaStatements') return quotas?.statements !== undefined
  if (key === 'quotaBytes') return quotas?.nodeBytes !== undefined
  return settings.get(key) !== undefined
}

function valueFor(key: SettingKey, settings: Settings): SettingItem['value'] {
  const { replicas, ack, chunker, outAfterMs } = settings
  if (key === 'chunker') return chunker
  if (key === 'outAfter') return outAfterMs
  if (key === 'versionDays') return settings.get('versionDays') ?? VERSION_DAYS
  if (key === 'quotaStatements') return settings.quota.statements
  if (key === 'quotaBytes') return settings.quota.bytes
  const copies = key === 'replicas' ? replicas : ack
  if (copies === undefined) return null
  return Number.isFinite(copies) ? copies : 'all'
}
