/** Drawings as SVG, with nothing but text: no library, and a browser or GitHub shows them. */

const FONT = 'font-family="sans-serif" font-size="12"'
const COLORS = ['#1b6ca8', '#d1495b', '#edae49', '#66a182', '#7d5ba6', '#8d99ae', '#2e4057']

export interface BarGroup {
  title: string
  bars: Array<{ name: string; value: number; label: string }>
}

/** The end of a longer name is what tells it from others. */
const NAME_CHARS_MAX = 20
const BAR = { height: 16, gap: 4, left: 150, width: 520, right: 130, title: 24 }

/** Draws groups of horizontal bars. Each group has its own scale, because it has its own unit. */
export function barChart(title: string, groups: readonly BarGroup[]): string {
  const names = [...new Set(groups.flatMap(({ bars }) => bars.map(({ name }) => name)))]
  const parts: string[] = []
  let y = 40
  for (const group of groups) {
    y += BAR.title
    parts.push(text(BAR.left, y - 6, group.title, 'font-weight="bold"'))
    const most = Math.max(...group.bars.map(({ value }) => value))
    for (const { name, value, label } of group.bars) {
      const width = Math.max(1, (value / most) * BAR.width)
      parts.push(text(BAR.left - 8, y + 12, name.slice(-NAME_CHARS_MAX), 'text-anchor="end"'))
      parts.push(
        `<rect x="${BAR.left}" y="${y}" width="${width.toFixed(1)}" height="${BAR.height}" fill="${color(names.indexOf(name))}"/>`
      )
      parts.push(text(BAR.left + width + 6, y + 12, label))
      y += BAR.height + BAR.gap
    }
  }
  return svg(BAR.left + BAR.width + BAR.right, y + 20, title, parts)
}

export interface Series {
  name: string
  points: ReadonlyArray<readonly [x: number, y: number]>
}

const PLOT = { left: 80, top: 50, width: 560, height: 360, bottom: 60, legend: 230 }

/** Draws curves on two logarithmic axes, so that cost that grows with size is a line, and its steepness the power. */
export function logPlot(title: string, xLabel: string, yLabel: string, series: readonly Series[]): string {
  const points = series.flatMap(({ points }) => points)
  const x = logScale(
    points.map(([value]) => value),
    PLOT.left,
    PLOT.left + PLOT.width
  )
  const y = logScale(
    points.map(([, value]) => value),
    PLOT.top + PLOT.height,
    PLOT.top
  )
  const parts: string[] = []
  for (const at of x.ticks) {
    parts.push(line(x.at(at), PLOT.top, x.at(at), PLOT.top + PLOT.height))
    parts.push(text(x.at(at), PLOT.top + PLOT.height + 18, short(at), 'text-anchor="middle"'))
  }
  for (const at of y.ticks) {
    parts.push(line(PLOT.left, y.at(at), PLOT.left + PLOT.width, y.at(at)))
    parts.push(text(PLOT.left - 8, y.at(at) + 4, short(at), 'text-anchor="end"'))
  }
  parts.push(text(PLOT.left + PLOT.width / 2, PLOT.top + PLOT.height + 42, xLabel, 'text-anchor="middle"'))
  parts.push(text(PLOT.left, PLOT.top - 10, yLabel))
  for (const [i, { name, points }] of series.entries()) {
    const at = points.map(([px, py]) => `${x.at(px).toFixed(1)},${y.at(py).toFixed(1)}`)
    parts.push(`<polyline points="${at.join(' ')}" fill="none" stroke="${color(i)}" stroke-width="2"/>`)
    for (const point of at) {
      const [cx, cy] = point.split(',')
      parts.push(`<circle cx="${cx}" cy="${cy}" r="3" fill="${color(i)}"/>`)
    }
    const legendY = PLOT.top + 14 + i * 20
    parts.push(
      `<rect x="${PLOT.left + PLOT.width + 16}" y="${legendY - 10}" width="12" height="12" fill="${color(i)}"/>`
    )
    parts.push(text(PLOT.left + PLOT.width + 34, legendY, name))
  }
  return svg(PLOT.left + PLOT.width + PLOT.legend, PLOT.top + PLOT.height + PLOT.bottom, title, parts)
}

/** Maps values to places by their logarithm, from a whole power of ten to the next. */
function logScale(values: readonly number[], from: number, to: number): { at(value: number): number; ticks: number[] } {
  const low = Math.floor(Math.log10(Math.min(...values)))
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))))
  return {
    at: value => from + ((Math.log10(value) - low) / (high - low)) * (to - from),
    ticks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i))
  }
}

function short(value: number): string {
  return value > 1e6 || value < 1e-3 ? value.toExponential(0).replace('e+', 'e') : value.toLocaleString('en')
}

function color(index: number): string {
  return COLORS[index % COLORS.length] as string
}

function line(x1: number, y1: number, x2: number, y2: number): string {
  return `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="#ddd"/>`
}

function text(x: number, y: number, content: string, attributes = ''): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${FONT} ${attributes}>${escaped}</text>`
}

function svg(width: number, height: number, title: string, parts: readonly string[]): string {
  const heading = text(16, 24, title, 'font-weight="bold"')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">
<rect width="100%" height="100%" fill="white"/>
${[heading, ...parts].join('\n')}
</svg>
`
}
