import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { barChart, logPlot } from '../../../scripts/bench/peers/chart.ts'
import { markdown, medianOf, type Results, type Run, ratioOf, YARDSTICK } from '../../../scripts/bench/peers/report.ts'

const run = (round: number, peer: string, mbPerS: number, error?: string): Run => ({
  ...{ round, workload: 'a', peer, at: '', load: 0, rssMib: { A: round } },
  figures: error === undefined ? { mbPerS } : {},
  ...(error === undefined ? {} : { error })
})

const results = (runs: Run[]): Results => ({
  ...{ startedAt: '', minutes: 1, machine: '', rounds: 3, leftOut: { helia: 'not installed' }, runs },
  peers: { ours: '1', [YARDSTICK]: '1' }
})

describe('the report of the benchmark', () => {
  test('compares with the yardstick within a round, because the machine is slower in some rounds', () => {
    const slowThird = [run(1, 'ours', 400), run(2, 'ours', 400), run(3, 'ours', 40)]
    const yardstick = [run(1, YARDSTICK, 800), run(2, YARDSTICK, 1_000), run(3, YARDSTICK, 80)]
    const all = results([...slowThird, ...yardstick])
    assert.equal(medianOf(all, 'ours', 'a', 'mbPerS'), 400)
    assert.equal(ratioOf(all, 'ours', 'a', 'mbPerS'), 0.5)
  })

  test('leaves a failed run out of the figures, and says why it failed', () => {
    const all = results([run(1, 'ours', 0, 'it hung'), run(2, 'ours', 300), run(1, YARDSTICK, 600)])
    assert.equal(medianOf(all, 'ours', 'a', 'mbPerS'), 300)
    assert.equal(ratioOf(all, 'ours', 'a', 'mbPerS'), undefined)
    const text = markdown(all)
    assert.match(text, /round 1, a, ours: it hung/)
    assert.match(text, /helia was left out: not installed/)
    assert.match(text, /\| MB\/s \| 300 \| 600 \|/)
  })
})

describe('a drawing of the benchmark', () => {
  test('shows powers of ten at equal distances, and proportional cost as a straight line', () => {
    const points = [1, 10, 100, 1_000].map(x => [x, 5 * x] as const)
    const drawing = logPlot('title', 'files', 'ms', [{ name: 'listing', points }])
    const line = /polyline points="([^"]+)"/.exec(drawing)?.[1] ?? ''
    const places = line.split(' ').map(place => place.split(',').map(Number) as [number, number])
    for (const axis of [0, 1] as const) {
      const steps = places.slice(1).map((place, i) => place[axis] - (places[i] as [number, number])[axis])
      assert.ok(
        steps.every(step => Math.abs(step - (steps[0] as number)) < 0.2),
        `${steps}`
      )
    }
  })

  test('has no markup in its texts but its own', () => {
    const drawing = barChart('a < b & c', [{ title: 't', bars: [{ name: '<x>', value: 1, label: '&' }] }])
    assert.ok(drawing.includes('a &lt; b &amp; c') && !drawing.includes('<x>'))
  })
})
