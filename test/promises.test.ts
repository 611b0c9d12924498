import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { test } from 'node:test'

const SRC = join(import.meta.dirname, '../src')

/**
 * A promise that rejects while nobody awaits it ends the process. There are three ways to make one that the linter
 * (`noFloatingPromises`, `noMisusedPromises`) lets pass. Each place in the sources that uses one of them is listed here
 * with the reason why its promise cannot reject unhandled. Prefer a shape that needs no entry: `await`,
 * `forEachUntilFailure` (util/for-each.ts), `Promise.all` over an array that is made in the same expression, a `Worker`.
 */
type Reasons = Record<string, string>

/** `void f()`: nobody awaits the promise, so `f` must handle every error itself. */
const NOT_AWAITED: Reasons = {
  'blocks/hold/grouped-keeps.ts: this.#store': 'it catches everything, and rejects the keeps',
  'blocks/protocol/store-client.ts: lane.large.close': 'a batcher rejects its items, and its end never fails',
  'blocks/protocol/store-client.ts: lane.small.close': 'a batcher rejects its items, and its end never fails',
  'blocks/put/put-driver.ts: this.#checkOwn': 'it catches what the disk throws',
  'blocks/put/put-driver.ts: this.#confirm': 'a member that fails is an answer',
  'blocks/put/put-driver.ts: this.#keep': 'a member that fails is an answer',
  'blocks/put/put-driver.ts: this.#push': 'a member that fails is an answer',
  'blocks/put/put-driver.ts: this.#restoreOwn': 'it catches what the disk throws',
  'blocks/put/renewal.ts: this.#worker.stop': 'a worker catches what its rounds throw',
  'blocks/put/puts.ts: this.#giveUp': 'a member that cannot be told is logged',
  'blocks/put/silence.ts: this.#askEarly': 'a member that fails is an answer',
  'blocks/put/silence.ts: this.#askSilent': 'a member that fails is an answer',
  'blocks/repair/queue.ts: this.#drain': 'it catches what a walk throws',
  'cli/put-run.ts: this.#count': 'the walk reports what it cannot read, and throws nothing',
  'daemon/dfs-node.ts: stopping.then': 'it only resolves',
  'flow/at-once.ts: start': 'it catches what the work throws',
  'http/body.ts: body.return': 'its chain ends with a catch',
  'log/outbox.ts: this.#catchUp': 'it catches what the calls throw',
  'log/outbox.ts: this.#passOn': 'it catches what the calls throw',
  'log/outbox.ts: this.#watch': 'it only pauses',
  'log/sync.ts: batcher.close': 'a batcher rejects its items, and its end never fails',
  'members/entering/look-around.ts: ask': 'it catches everything',
  'members/join.ts: this.#hangUp': 'it catches everything',
  'members/join.ts: this.#join': 'it catches everything',
  'members/members.ts: this.#comparisons.run': 'it catches what a comparison throws',
  'members/own-status.ts: this.#tryToRenew': 'it catches everything',
  'node/stack.ts: comparison.begin': 'it catches what the index throws',
  'node/stack.ts: comparison.noteCompared': 'it catches what the index throws',
  'node/stack.ts: comparison.noteView': 'it catches what the index throws',
  'util/batcher.ts: this.#run': 'it catches what the work throws, and rejects the items',
  'wire/call-client.ts: this.#send': 'it catches everything, and ends the stream',
  'wire/call-server.ts: this.#respond': 'it catches everything, and ends the stream',
  'wire/redial.ts: this.#run': 'it catches what a dial throws'
}

/** `Promise.all(list)` of a list that was filled before: its promises must not reject until then. */
const COLLECTED: Reasons = {
  'blocks/repair/background.ts: walkers': 'it is awaited as soon as it is filled',
  'blocks/repair/read-repair.ts: this.#underWay': 'each has its own catch',
  'blocks/repair/walker.ts: pulls': 'each has a catch from the start',
  'disk/blockstore.ts: underWay': 'each has a catch from the start',
  'disk/reads-under-way.ts: this.#reads': 'the caller of each awaits it too',
  'disk/row-writer.ts: this.#writes': 'the caller of each awaits it too',
  'fs/push-to-members.ts: pushes': 'a member that fails is an answer',
  'fs/push-to-members.ts: this.#waiting': 'a member that fails is an answer',
  'util/for-each.ts: underWay': 'a failure becomes the reason of the signal'
}

/** A promise in a field or a collection outlives the call that made it. */
const STORED: Reasons = {
  'blocks/fetch/fetcher.ts: promise': 'it has a handler from the start',
  'blocks/fetch/source-race.ts: #asked': 'an ask that fails is an answer',
  'blocks/fetch/source-race.ts: #hedge': 'it has a catch from the start',
  'blocks/hold/reference-lookup.ts: #nodes': 'the caller that makes it awaits it',
  'blocks/put/put-ports.ts: enough': 'it only resolves',
  'blocks/put/put.ts: #recent': 'the caller that makes it awaits it',
  'blocks/repair/read-repair.ts: #underWay': 'each has its own catch',
  'blocks/repair/room-maker.ts: #making': 'it catches everything',
  'blocks/repair/walker.ts: pulls': 'each has a catch from the start',
  'cli/bundle.ts: #running': 'it catches everything, and rejects the puts',
  'daemon/dfs-node.ts: stopping': 'it only resolves',
  'disk/blockstore.ts: underWay': 'each has a catch from the start',
  'disk/capacity.ts: #measuring': 'the caller that makes it awaits it',
  'disk/read-gate.ts: #opened': 'it only resolves',
  'disk/reads-under-way.ts: #reads': 'the caller of each awaits it too',
  'disk/row-writer.ts: #writes': 'the caller of each awaits it too',
  'disk/segment-readers.ts: file': 'it has a catch from the start, or the caller awaits it',
  'disk/void-rows.ts: #last': 'it catches everything',
  'fs/push-to-members.ts: #waiting': 'a member that fails is an answer',
  'fs/copies.ts: asked': 'a promise that nobody waits for any more has a handler',
  'fs/read-ahead.ts: isComing': 'it only resolves',
  'fs/read-ahead.ts: result': 'it has a catch from the start',
  'http/put-bundle.ts: writing': 'the caller that makes it awaits it',
  'log/early.ts: #underWay': 'it only resolves',
  'log/lost.ts: #work': 'it has a catch from the start',
  'members/comparisons.ts: #underWay': 'it catches what a comparison throws',
  'members/own-status.ts: #lastRenewal': 'the caller that makes it awaits it',
  'node/file-streams.ts: #stored': 'it has a catch from the start',
  'node/newcomer.ts: settled': 'it only resolves',
  'node/node.ts: #entering': 'it has a catch from the start',
  'node/pending-status.ts: settled': 'it only resolves',
  'node/supervisor.ts: #current': 'the caller that makes it awaits it',
  'util/for-each.ts: underWay': 'a failure becomes the reason of the signal',
  'util/locks.ts: #tails': 'it only resolves',
  'util/worker.ts: #running': 'it catches what the rounds throw',
  'wire/calls.ts: #clients': 'it has a handler from the start',
  'wire/socket-tls.ts: #certificate': 'the caller that makes it awaits it'
}

/** Returns `FILE: NAME` for each match in the sources, without comments. `NAME` is the first group. */
function found(pattern: RegExp): string[] {
  const places = new Set<string>()
  for (const file of globSync(join(SRC, '**/*.ts'))) {
    const text = readFileSync(file, 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
    for (const [, name] of text.matchAll(pattern)) places.add(`${relative(SRC, file)}: ${name?.replaceAll('?', '')}`)
  }
  return [...places].sort()
}

function assertListed(places: readonly string[], reasons: Reasons): void {
  const fresh = places.filter(place => reasons[place] === undefined)
  const gone = Object.keys(reasons).filter(place => !places.includes(place))
  assert.deepEqual(fresh, [], 'await these promises, or list here why they cannot reject unhandled')
  assert.deepEqual(gone, [], 'these are no longer in the sources: remove them here')
}

test('every promise that nobody awaits is one that cannot reject', () => {
  assertListed(found(/(?<![:>|] )\bvoid ([\w#.?]+)\(/g), NOT_AWAITED)
})

test('every list of promises that is awaited later holds promises that cannot reject unhandled', () => {
  assertListed(found(/\bPromise\.(?:all|allSettled|any)\(((?:this\.)?#?\w+)\)/g), COLLECTED)
})

test('every promise that is stored is one that cannot reject unhandled', () => {
  const field = /^ {2}(?:readonly )?(#?\w+)(?:: [^=\n(]*\bPromise<| = new \w+<[^=\n]*\bPromise<)/gm
  const variable =
    /^\s+(?:let|const) (\w+)(?:: (?!\(|Promise<\w+>\s*=)[^=\n]*\bPromise<| = new \w+<[^=\n]*\bPromise<)/gm
  assertListed([...found(field), ...found(variable)], STORED)
})
