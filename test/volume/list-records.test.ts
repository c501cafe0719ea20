import { describe, expect, it } from 'vitest'
import { CorruptLogError } from '../../src/volume/format/errors.ts'
import { FaultyDisk } from './faulty-disk.ts'
import { group, startVolume } from './scenario.ts'

describe('The list of a sealed segment', () => {
  it('has every record with the place where it can be read', async () => {
    const { volume } = await startVolume(new FaultyDisk())
    let seq = 1
    while (volume.logPosition().segment === 0) {
      await volume.appendGroup(group(seq, 3, 1000))
      seq += 3
    }
    const [sealed, open] = volume.segments()
    if (sealed === undefined || open === undefined) throw new Error('there are two segments')
    const listed = await volume.recordsOf(sealed)
    expect(listed.map((record) => record.seq)).toEqual(
      Array.from({ length: seq - 4 }, (_, at) => at + 1),
    )
    for (const { location, seq, kind, label } of listed) {
      const record = await volume.readRecord(location, { seq })
      expect({ kind: record.kind, label: record.label }).toEqual({ kind, label })
    }
    expect(await volume.recordsOf(open)).toEqual([])
    await volume.freeSegment(sealed.segment, sealed.generation)
    expect(await volume.recordsOf(sealed)).toEqual([])
  })

  it('is not made up from a damaged footer', async () => {
    const disk = new FaultyDisk()
    const { volume } = await startVolume(disk)
    for (let seq = 1; volume.logPosition().segment === 0; seq += 3) {
      await volume.appendGroup(group(seq, 3, 1000))
    }
    const [sealed] = volume.segments()
    if (sealed === undefined) throw new Error('there is a segment')
    const bytes = disk.segments.get(sealed.segment)?.current
    bytes?.fill(1, bytes.length - 4096 + 40, bytes.length - 4096 + 50)
    await expect(volume.recordsOf(sealed)).rejects.toThrow(CorruptLogError)
  })
})
