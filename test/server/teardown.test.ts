import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { Teardown } from '../../src/base/teardown.ts'

describe('the teardown', () => {
  it('closes in reverse, all of it, and then reports the first failure', async () => {
    const closed: string[] = []
    const teardown = new Teardown(silentLogger)
    for (const name of ['lock', 'volume', 'index', 'listener']) {
      teardown.add(name, async () => {
        closed.push(name)
        if (name === 'index' || name === 'lock') throw new Error(`${name} stuck`)
      })
    }
    await expect(teardown.run()).rejects.toThrow('index stuck')
    expect(closed).toEqual(['listener', 'index', 'volume', 'lock'])
    await teardown.run()
    expect(closed).toHaveLength(4)
  })
})
