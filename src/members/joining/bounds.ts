import { JOINING_MAX, JOINING_PER_ADDRESS_MAX, JOINING_PER_PRIVATE_ADDRESS_MAX } from '../constants.ts'
import {
  ATTEMPTS_MAX,
  ATTEMPTS_PER_ORIGIN_MAX,
  ATTEMPTS_PER_PRIVATE_ORIGIN_MAX,
  CODES_MAX,
  CODES_PER_ORIGIN_MAX,
  CODES_PER_PRIVATE_ORIGIN_MAX
} from './constants.ts'

/** How much of a bound is used in total, and by peers from the same address. */
export interface Used {
  all: number
  ofOrigin: number
}

interface Bound {
  all: number
  ofOrigin: number
  ofPrivateOrigin: number
}

const SLOTS: Bound = {
  all: JOINING_MAX,
  ofOrigin: JOINING_PER_ADDRESS_MAX,
  ofPrivateOrigin: JOINING_PER_PRIVATE_ADDRESS_MAX
}
const PLACES: Bound = {
  all: ATTEMPTS_MAX,
  ofOrigin: ATTEMPTS_PER_ORIGIN_MAX,
  ofPrivateOrigin: ATTEMPTS_PER_PRIVATE_ORIGIN_MAX
}
const CODES: Bound = {
  all: CODES_MAX,
  ofOrigin: CODES_PER_ORIGIN_MAX,
  ofPrivateOrigin: CODES_PER_PRIVATE_ORIGIN_MAX
}

/** Returns true if no other stranger from an address may be in the exchange now. */
export function hasNoSlot({ strangers, isPrivate }: { strangers: Used; isPrivate: boolean }): boolean {
  return isOver(strangers, SLOTS, isPrivate)
}

/** Returns true if no other machine from an address may wait for a person now. */
export function hasNoPlace({ attempts, isPrivate }: { attempts: Used; isPrivate: boolean }): boolean {
  return isOver(attempts, PLACES, isPrivate)
}

/** Returns true if no other code may be drawn from an address now. */
export function hasNoCode({ codes, isPrivate }: { codes: Used; isPrivate: boolean }): boolean {
  return isOver(codes, CODES, isPrivate)
}

function isOver(used: Used, bound: Bound, isPrivate: boolean): boolean {
  return used.all >= bound.all || used.ofOrigin >= (isPrivate ? bound.ofPrivateOrigin : bound.ofOrigin)
}
