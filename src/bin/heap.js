// Sets the limits of the daemon's heap before anything else is loaded. By default the young generation grows to a hundred
// megabytes during a transfer, all of it garbage. If it is too small, short-lived objects are promoted to the old
// generation and V8 marks the whole heap again and again. So it grows once to a few megabytes and no further. Only the
// program does this, because a library must not decide about its host's heap.
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

const YOUNG_BYTES = 8 << 20
const ARRAYS_MAX = 1_000
const CHECK_MS = 2_000

const youngBytes = () => getHeapSpaceStatistics().find(space => space.space_name === 'new_space')?.space_size ?? 0

function growYoung() {
  setFlagsFromString('--semi-space-growth-factor=2')
  // The young generation grows when objects survive in it.
  const survivors = []
  while (youngBytes() < YOUNG_BYTES && survivors.length < ARRAYS_MAX) survivors.push(new Array(8192).fill(0))
  setFlagsFromString('--semi-space-growth-factor=1')
}

growYoung()
// V8 shrinks it to one or two megabytes when it marks the whole heap of an idle daemon. The next put of many files would
// then collect garbage four times as often. (A PerformanceObserver would know at once, but costs more at each collection
// than this does in minutes.)
setInterval(() => {
  if (youngBytes() < YOUNG_BYTES) growYoung()
}, CHECK_MS).unref()
// Buffers are outside the heap and most live for a moment, so their sum alone must not make V8 mark the whole heap.
setFlagsFromString('--external-memory-accounted-in-global-limit')
// The old generation grows by three fifths between two collections, not to two or four times its size. After thousands
// of small files the process then has 245 MiB instead of 370. With one half a thousand small files would take a tenth
// longer.
setFlagsFromString('--heap-growing-percent=60')
