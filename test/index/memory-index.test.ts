import { describe, expect, it } from 'vitest'
import { AssertionError } from '../../src/base/assert.ts'
import { IndexWriteError } from '../../src/index/errors.ts'
import { MemoryIndex, MemoryIndexDisk } from '../../src/index/memory-index.ts'
import { describeOrderedIndex } from './ordered-index-contract.ts'

describeOrderedIndex('MemoryIndex', async () => {
  const disk = new MemoryIndexDisk()
  return { open: () => MemoryIndex.open({ disk }), remove: async () => undefined }
})

const key = Buffer.from('key')
const batch = [{ type: 'put', key, value: Buffer.from('value') }] as const

describe('MemoryIndex: crashes', () => {
  for (const survives of [true, false]) {
    it(`comes back ${survives ? 'with' : 'without'} the write that was running, as the disk decides`, async () => {
      const disk = new MemoryIndexDisk({ survives: () => survives })
      const index = await MemoryIndex.open({ disk })
      await index.write([{ type: 'put', key: Buffer.from('before'), value: key }])
      const settled = observe(index.write(batch))
      disk.crash()
      const again = await MemoryIndex.open({ disk })
      expect(again.get(Buffer.from('before'))).toEqual(key)
      expect(again.get(key) !== undefined).toBe(survives)
      await turns(5)
      expect(settled()).toBe('pending')
    })
  }

  it('takes nothing more from a process that has crashed', async () => {
    const disk = new MemoryIndexDisk()
    const dead = await MemoryIndex.open({ disk })
    disk.crash()
    const settled = observe(dead.write(batch))
    await turns(5)
    await dead.close()
    const again = await MemoryIndex.open({ disk })
    expect(again.get(key)).toBeUndefined()
    expect(settled()).toBe('pending')
  })

  it('waits for what it is told to before a write takes effect', async () => {
    const gate = Promise.withResolvers<void>()
    let isOpen = false
    const settle = () => (isOpen ? gate.promise : Promise.resolve())
    const index = await MemoryIndex.open({ settle })
    isOpen = true
    const write = index.write(batch)
    await turns(5)
    expect(index.get(key)).toBeUndefined()
    gate.resolve()
    await write
    expect(index.get(key)).toEqual(batch[0].value)
  })

  it('takes the batch that failed before any other, or has decided about it when it is opened again', async () => {
    const disk = new MemoryIndexDisk({ survives: () => true })
    let isBroken = false
    const settle = async () => {
      if (isBroken) throw new Error('EIO')
    }
    const index = await MemoryIndex.open({ disk, settle })
    isBroken = true
    await expect(index.write(batch)).rejects.toThrow(IndexWriteError)
    expect(index.get(key)).toBeUndefined()
    isBroken = false
    const other = [{ type: 'del', key }] as const
    await expect(index.write(other)).rejects.toThrow(AssertionError)
    await index.write(batch)
    await index.write(other)
    isBroken = true
    await expect(index.write(batch)).rejects.toThrow(IndexWriteError)
    isBroken = false
    await index.close()
    const again = await MemoryIndex.open({ disk, settle })
    expect(again.get(key)).toEqual(batch[0].value)
    await again.write(batch)
  })
})

function observe(promise: Promise<void>): () => string {
  let state = 'pending'
  promise.then(
    () => {
      state = 'resolved'
    },
    () => {
      state = 'rejected'
    },
  )
  return () => state
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve()
}
