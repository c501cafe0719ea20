import { describe, expect, it } from 'vitest'
import { AssertionError, rethrowAssertion } from '../../src/base/assert.ts'

describe('rethrowAssertion', () => {
  it('throws what is a broken invariant, however deep another error wraps it', () => {
    const broken = new AssertionError('two and two')
    expect(() => rethrowAssertion(broken)).toThrow(broken)
    const wrapped = new Error('outer', { cause: new TypeError('inner', { cause: broken }) })
    expect(() => rethrowAssertion(wrapped)).toThrow(broken)
  })

  it('lets everything else pass, causes in a circle included', () => {
    const circle = new Error('round')
    circle.cause = circle
    for (const thrown of [circle, new Error('x'), 'text', undefined, null]) {
      expect(() => rethrowAssertion(thrown)).not.toThrow()
    }
  })
})
