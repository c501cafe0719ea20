import { describe, expect, it } from 'vitest'
import { giveBack, isWholeMemory } from '../../src/base/give-back.ts'

describe('memory that is given back', () => {
  it('is gone at once, whichever part of it is shown', () => {
    for (const bytes of [Buffer.alloc(70_000), Buffer.allocUnsafeSlow(2 ** 20).subarray(100)]) {
      giveBack(bytes)
      expect(bytes.buffer.byteLength).toBe(0)
      expect(bytes.length).toBe(0)
    }
    const small = Buffer.alloc(5)
    giveBack(small)
    expect(small.length).toBe(0)
  })

  it('is never that of others: neither the pool of small buffers nor what threads share', () => {
    const pooled = Buffer.from('in the pool')
    const shared = Buffer.from(new SharedArrayBuffer(2 ** 20))
    for (const bytes of [pooled, shared]) giveBack(bytes)
    expect(pooled.toString()).toBe('in the pool')
    expect(shared.length).toBe(2 ** 20)
    expect([isWholeMemory(pooled), isWholeMemory(shared)]).toEqual([false, true])
  })
})
