import { afterEach, beforeEach, test } from 'vitest'
import { TestBed } from '../e2e/site-process.ts'
import { expectBoundedMemory } from '../e2e/transfer-memory.ts'

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

/** Needs about 11 GiB in the temporary folder. */
test.skipIf(process.platform !== 'linux')(
  '5 GiB are uploaded, replicated and downloaded in less than 300 MiB above idle',
  () => expectBoundedMemory(bed, 5 * 2 ** 30),
)
