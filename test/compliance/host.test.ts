import { randomBytes } from 'node:crypto'
import { memory } from '@libp2p/memory'
import { peerIdOf } from '../../src/format/peer-id.ts'
import { Libp2pHost } from '../../src/wire/libp2p-host.ts'
import { silentLogger } from '../fixtures/logger.ts'
import { MemoryNetwork } from '../fixtures/memory-host.ts'
import { hostContract } from './host.ts'

const network = new MemoryNetwork()
const slow = new MemoryNetwork({ delayMs: 2, pieceBytes: 1_000 })
let names = 0

hostContract('libp2p over TCP', () => {
  return Libp2pHost.create({ logger: silentLogger, deviceSeed: randomBytes(32), listen: ['/ip4/127.0.0.1/tcp/0'] })
})
hostContract('libp2p over WebSockets', () => {
  return Libp2pHost.create({ logger: silentLogger, deviceSeed: randomBytes(32), listen: ['/ip4/127.0.0.1/tcp/0/ws'] })
})
hostContract('libp2p over a transport of the program', () => {
  const listen = [`/memory/${randomBytes(8).toString('hex')}`]
  return Libp2pHost.create({ logger: silentLogger, deviceSeed: randomBytes(32), listen, transports: [memory()] })
})
hostContract('memory', async () => network.host(`h${names++}`, peerIdOf(randomBytes(32))))
hostContract('memory with delay, in pieces', async () => slow.host(`h${names++}`, peerIdOf(randomBytes(32))))
