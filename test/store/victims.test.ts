import { describe, expect, it } from 'vitest'
import { bestOf, type Candidate, gainOf } from '../../src/store/space/victims.ts'

const bytes = 1024
const segment: Candidate['segment'] = {
  segment: 1,
  generation: 1,
  stream: 'bulk',
  state: 'sealed',
  hasFooter: true,
  bytes,
  filledBytes: bytes,
}

function candidate(options: Partial<Candidate['segment']>, cost: number): Candidate {
  return { segment: { ...segment, ...options }, cost }
}

describe('what cleaning a segment gives', () => {
  it('is what its live records do not take', () => {
    expect(gainOf(candidate({}, 600))).toBe(424)
  })

  it('is nothing where all is live and the end of the slot was too short for one more chunk', () => {
    expect(gainOf(candidate({ filledBytes: 930 }, 930))).toBe(0)
  })

  it('is the slot behind a segment that was left early, but for the end that stays empty', () => {
    expect(gainOf(candidate({ filledBytes: 200 }, 200))).toBe(bytes - 200 - bytes / 8)
    expect(gainOf(candidate({ stream: 'log', filledBytes: 930 }, 930))).toBe(94)
  })

  it('decides which is cleaned, and the older of two that are alike', () => {
    const sparse = candidate({ generation: 8 }, 100)
    const old = candidate({ generation: 2 }, 600)
    const young = candidate({ generation: 7 }, 600)
    expect(bestOf([young, old], 9)).toBe(old)
    expect(bestOf([young, sparse, candidate({ filledBytes: 930 }, 930)], 9)).toBe(sparse)
  })
})
