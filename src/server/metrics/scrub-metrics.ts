/** What scrubbing read and found, for Prometheus. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { Scrubber } from '../../store/scrub/scrubber.ts'

export type ScrubFigures = Pick<Scrubber, 'running' | 'last' | 'totals'>

export function addScrubMetrics(registry: Registry): (scrub: ScrubFigures) => void {
  const registers = [registry]
  const total = (name: string, help: string): Counter => new Counter({ name, help, registers })
  const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers })
  const running = gauge('comio_scrub_running', '1 while everything that is stored is read, else 0.')
  const finished = gauge(
    'comio_scrub_last_finished_timestamp_seconds',
    'When the last scrub ended; 0 before the first.',
  )
  const left = gauge('comio_scrub_last_damaged', 'What the last scrub found and could not heal.')
  const objects = total('comio_scrub_objects_total', 'Objects whose bytes a scrub read.')
  const bytes = total('comio_scrub_bytes_total', 'Bytes that scrubs read.')
  const damaged = total('comio_scrub_damaged_total', 'Objects and records found damaged in scrubs.')
  const healed = total('comio_scrub_healed_total', 'Of those, the ones that were healed.')
  return ({ running: run, last, totals }) => {
    running.set(run === undefined ? 0 : 1)
    finished.set(last === undefined ? 0 : last.finishedAt / 1000)
    left.set(last === undefined ? 0 : last.damaged - last.healed - last.gone)
    const plain: readonly [Counter, number][] = [
      [objects, totals.objects],
      [bytes, totals.bytes],
      [damaged, totals.damaged],
      [healed, totals.healed],
    ]
    for (const [counter, value] of plain) {
      counter.reset()
      counter.inc(value)
    }
  }
}
