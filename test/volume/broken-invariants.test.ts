import { describe, expect, it } from 'vitest'
import { AssertionError } from '../../src/base/assert.ts'
import { VolumeContext, type VolumeParts } from '../../src/volume/segments/volume-context.ts'
import { Space } from '../../src/volume/write/space.ts'
import { unhandledIn } from '../base/unhandled.ts'
import { recordingLogger, segmentBytes, stillClock } from './scenario.ts'

const broken = new AssertionError('two segments in one slot')
const breaks = (): never => {
  throw broken
}

function contextWith(logger: ReturnType<typeof recordingLogger>): VolumeContext {
  const parts = {
    device: { create: async () => breaks() },
    clock: stillClock,
    logger,
    identity: { volumeId: '00' },
    limits: { segmentBytes },
    table: { usedBytes: 0, has: () => false },
  }
  // What is tried here looks at nothing else.
  return new VolumeContext(parts as unknown as VolumeParts)
}

describe('a broken invariant in a volume', () => {
  it('ends the process when it shows in the background, and is no line in the log', async () => {
    const logger = recordingLogger()
    const context = contextWith(logger)
    const seen = unhandledIn(() => context.inBackground('it did not work', async () => breaks()))
    expect(await seen).toBe(broken)
    expect(logger.messages).toEqual([])
  })

  it('ends the process when it shows as a segment is made ahead', async () => {
    const logger = recordingLogger()
    const freeBytes = 100 * segmentBytes
    const options = { capacityBytes: undefined, freeBytes, prepared: undefined }
    const space = new Space(contextWith(logger), options)
    expect(await unhandledIn(() => space.prepare())).toBe(broken)
    expect(logger.messages).toEqual([])
  })
})
