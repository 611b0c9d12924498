// What the daemon asks of its heap, before anything else is loaded. Left to itself the young part grows to a hundred
// megabytes under a transfer, all of it garbage; too small, what is only passing by counts as old and the whole heap is
// marked again and again. So: grown once to a few megabytes, and no further. Only the program does this: a library has no
// say in its host's heap.
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

const YOUNG_BYTES = 8 << 20
const ARRAYS_MAX = 1_000

const youngBytes = () => getHeapSpaceStatistics().find(space => space.space_name === 'new_space')?.space_size ?? 0

// It grows by what survives in it.
const survivors = []
while (youngBytes() < YOUNG_BYTES && survivors.length < ARRAYS_MAX) survivors.push(new Array(8192).fill(0))
setFlagsFromString('--semi-space-growth-factor=1')
// Buffers lie outside, and most live for a moment: their sum alone is no reason to mark the whole heap.
setFlagsFromString('--external-memory-accounted-in-global-limit')
// The old part grows by three quarters between two collections of it, not to the two- or fourfold: what was 370 MiB of
// process after thousands of small files is 220. By half it would be 190, and a thousand small files take a tenth longer.
setFlagsFromString('--heap-growing-percent=75')
