import { afterEach, beforeEach, test } from 'vitest'
import { killUnderLoad } from '../e2e/kill-run.ts'
import { TestBed } from '../e2e/site-process.ts'

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

test('a site killed thirty times under load has every answered write after each start', () =>
  killUnderLoad(bed, 30))
