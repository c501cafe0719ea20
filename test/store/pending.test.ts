import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { PendingMap } from '../../src/store/write/pending.ts'

const done = Promise.resolve()

function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}

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

  it('let go of what is settled, also below a write that is not', async () => {
    const map = new PendingMap<object>()
    const coverNew = () => {
      const value = {}
      return { settle: map.cover('k', value, done), value: new WeakRef(value) }
    }
    const first = coverNew()
    const second = coverNew()
    const third = coverNew()
    first.settle(true)
    second.settle(false)
    // What was made in this turn is kept until it is over.
    await nextTurn()
    collectGarbage()
    expect([first, second, third].map(({ value }) => value.deref() === undefined)).toEqual([
      true,
      true,
      false,
    ])
    third.settle(true)
    expect(map.size).toBe(0)
  })
})
