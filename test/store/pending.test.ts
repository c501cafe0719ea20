import { describe, expect, it } from 'vitest'
import { PendingMap } from '../../src/store/pending.ts'

const done = Promise.resolve()

describe('pending values', () => {
  it('show the newest, and nothing once all have succeeded', () => {
    const map = new PendingMap<string>()
    const first = map.cover('k', 'one', done)
    const second = map.cover('k', 'two', done)
    expect(map.get('k')?.value).toBe('two')
    first(true)
    expect(map.get('k')?.value).toBe('two')
    second(true)
    expect(map.get('k')).toBeUndefined()
    expect(map.size).toBe(0)
  })

  it('uncover what is still under way below a failed one', () => {
    const map = new PendingMap<string>()
    const first = map.cover('k', 'one', done)
    const second = map.cover('k', 'two', done)
    const third = map.cover('k', 'three', done)
    second(false)
    third(false)
    expect(map.get('k')?.value).toBe('one')
    first(true)
    expect(map.get('k')).toBeUndefined()
  })

  it('keep keys apart', () => {
    const map = new PendingMap<number>()
    map.cover('a', 1, done)
    const b = map.cover('b', 2, done)
    b(true)
    expect([...map.entries()].map(([key]) => key)).toEqual(['a'])
  })
})
