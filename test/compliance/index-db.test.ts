import { levelDatabase } from '../fixtures/level.ts'
import { MemoryDatabase } from '../fixtures/memory-database.ts'
import { testIndex } from './index-db.ts'

testIndex('classic-level', levelDatabase)
testIndex('the one in memory that the tests of crashes use', async () => new MemoryDatabase().asDatabase)
