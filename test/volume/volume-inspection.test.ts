import { describe, expect, it } from 'vitest'
import { MissingSuperblockError } from '../../src/volume/format/errors.ts'
import {
  type SegmentStep,
  VolumeInspection,
} from '../../src/volume/inspection/volume-inspection.ts'
import { FaultyDisk } from './faulty-disk.ts'
import { blockBytes, chunk, fillSegment, group, seqsOf, startVolume } from './scenario.ts'

/** Two full segments of the log, an open one, and one of bulk; closed in order. */
async function filledDisk(): Promise<{ disk: FaultyDisk; nextSeq: number }> {
  const disk = new FaultyDisk()
  const { volume } = await startVolume(disk)
  await volume.appendBulk(chunk(0))
  const nextSeq = await fillSegment(volume, await fillSegment(volume, 1))
  await volume.appendGroup(group(nextSeq))
  await volume.close()
  return { disk, nextSeq: nextSeq + 3 }
}

async function stepsIn(inspection: VolumeInspection): Promise<SegmentStep[]> {
  const steps: SegmentStep[] = []
  for (const entry of inspection.segments) {
    if (entry.stream !== 'log') continue
    for await (const step of inspection.steps(entry)) steps.push(step)
  }
  return steps
}

function recordsIn(steps: readonly SegmentStep[]): readonly { readonly seq: number }[] {
  return steps.flatMap((step) => (step.type === 'end' ? [] : step.records))
}

const allSeqs = (nextSeq: number): number[] => Array.from({ length: nextSeq - 1 }, (_, i) => i + 1)

describe('A volume that is looked at', () => {
  it('shows every record, finds nothing wrong, and is not changed', async () => {
    const { disk, nextSeq } = await filledDisk()
    const operations = disk.operations
    const inspection = await VolumeInspection.open(disk)
    const steps = await stepsIn(inspection)
    expect(seqsOf(recordsIn(steps))).toEqual(allSeqs(nextSeq))
    expect(steps.filter(({ type }) => type === 'damage')).toEqual([])
    expect(inspection.problems).toEqual([])
    expect(disk.operations).toBe(operations)
  })

  it('is read without its superblock, by what the segments say', async () => {
    const { disk, nextSeq } = await filledDisk()
    disk.superblock = undefined
    const inspection = await VolumeInspection.open(disk)
    expect(inspection.problems.map(({ kind }) => kind)).toEqual(['superblock'])
    expect(seqsOf(recordsIn(await stepsIn(inspection)))).toEqual(allSeqs(nextSeq))
    await expect(VolumeInspection.open(new FaultyDisk())).rejects.toThrow(MissingSuperblockError)
  })

  it('is read on behind a damaged group, and shows what is left of that group', async () => {
    const { disk, nextSeq } = await filledDisk()
    const inspection = await VolumeInspection.open(disk)
    const [first, second] = (await stepsIn(inspection)).filter(({ type }) => type === 'group')
    if (first?.type !== 'group' || second?.type !== 'group') throw new Error('there are two')
    const hit = first.records[1]
    if (hit === undefined) throw new Error('a group has three records')
    disk.tamper(inspection.segments[0]?.segment ?? 0, (bytes) => {
      const at = hit.offset + hit.headLength + 7
      bytes[at] = (bytes[at] ?? 0) ^ 1
    })
    const again = await stepsIn(await VolumeInspection.open(disk))
    const damage = again.find((step) => step.type === 'damage')
    expect(damage).toMatchObject({
      offset: first.offset,
      resumesAt: second.offset,
      lost: [{ offset: hit.offset, record: { seq: hit.seq } }],
    })
    const seqs = allSeqs(nextSeq).filter((seq) => seq !== hit.seq)
    expect(seqsOf(recordsIn(again))).toEqual(seqs)
  })

  it('goes on behind blocks that the disk does not read', async () => {
    const { disk } = await filledDisk()
    const inspection = await VolumeInspection.open(disk)
    const groups = (await stepsIn(inspection)).filter(({ type }) => type === 'group')
    disk.fail('read', 'EIO', { times: 3 })
    const steps = await stepsIn(inspection)
    expect(steps.filter(({ type }) => type === 'damage')).toHaveLength(1)
    const left = steps.filter(({ type }) => type === 'group')
    expect(left.length).toBeGreaterThan(groups.length - 3)
    expect(left.length).toBeLessThan(groups.length)
  })

  it('knows a segment whose header is gone by what others say of it', async () => {
    const { disk, nextSeq } = await filledDisk()
    const entry = (await VolumeInspection.open(disk)).segments.find(
      ({ stream, state }) => stream === 'log' && state === 'sealed',
    )
    disk.tamper(entry?.segment ?? 0, (bytes) => bytes.fill(7, 0, blockBytes))
    const inspection = await VolumeInspection.open(disk)
    expect(inspection.problems).toMatchObject([
      { kind: 'segment-header', segment: entry?.segment, generation: entry?.generation },
    ])
    expect(seqsOf(recordsIn(await stepsIn(inspection)))).toEqual(allSeqs(nextSeq))
  })

  it('names a segment that is gone, and a log that ends before its end', async () => {
    const { disk } = await filledDisk()
    const open = (await VolumeInspection.open(disk)).segments.findLast(
      ({ stream }) => stream === 'log',
    )
    disk.tamper(open?.segment ?? 0, (bytes) => bytes.fill(0, blockBytes))
    const cut = await stepsIn(await VolumeInspection.open(disk))
    expect(cut.filter(({ type }) => type === 'damage')).toMatchObject([{ offset: blockBytes }])
    disk.segments.delete(open?.segment ?? 0)
    const { problems } = await VolumeInspection.open(disk)
    expect(problems).toMatchObject([{ kind: 'missing-segment', segment: open?.segment }])
  })
})
