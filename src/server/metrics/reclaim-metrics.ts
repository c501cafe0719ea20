/** What the volume wrote, and what of that was moved to give space back, for Prometheus. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { ReclaimFigures } from '../../store/space/cleaner.ts'

export interface SpaceFigures extends ReclaimFigures {
  /** Bytes of groups on the volume, what was moved included. */
  readonly writtenBytes: number
  readonly freedSegments: number
}

export function addReclaimMetrics(registry: Registry): (figures: SpaceFigures) => void {
  const registers = [registry]
  const total = (name: string, help: string): Counter => new Counter({ name, help, registers })
  const written = total(
    'comio_volume_written_bytes_total',
    'Bytes written to the volume, padding and what was moved included.',
  )
  const freed = total('comio_volume_segments_freed_total', 'Segments that were given back.')
  const cleaned = total(
    'comio_reclaim_segments_cleaned_total',
    'Of those, the ones whose live records were moved for it.',
  )
  const bytes = total('comio_reclaim_moved_bytes_total', 'Bytes of live records that were moved.')
  const records = total('comio_reclaim_moved_records_total', 'Live records that were moved.')
  const amplification = new Gauge({
    name: 'comio_volume_write_amplification',
    help: 'Bytes written for each byte that was not moved, since the start; 1 when none was.',
    registers,
  })
  return (figures) => {
    const plain: readonly [Counter, number][] = [
      [written, figures.writtenBytes],
      [freed, figures.freedSegments],
      [cleaned, figures.cleanedSegments],
      [bytes, figures.movedBytes],
      [records, figures.movedRecords],
    ]
    for (const [counter, value] of plain) {
      counter.reset()
      counter.inc(value)
    }
    amplification.set(amplificationOf(figures))
  }
}

function amplificationOf({ writtenBytes, movedBytes }: SpaceFigures): number {
  const own = writtenBytes - movedBytes
  return own > 0 ? writtenBytes / own : 1
}
