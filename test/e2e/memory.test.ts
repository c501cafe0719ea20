import { afterEach, beforeEach, test } from 'vitest'
import { TestBed } from './site-process.ts'
import { expectBoundedMemory } from './transfer-memory.ts'

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

test.skipIf(process.platform !== 'linux')(
  '256 MiB are uploaded, replicated and downloaded in less than 300 MiB above idle',
  () => expectBoundedMemory(bed, 256 * 2 ** 20),
)
