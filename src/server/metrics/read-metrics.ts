/** Reads across sites and damaged bytes, for Prometheus. */
import { Counter, type Registry } from 'prom-client'
import type { ReadsTally } from '../../replication/reads/reads-tally.ts'

export function addReadMetrics(registry: Registry): (tally: ReadsTally) => void {
  const registers = [registry]
  const total = (name: string, help: string): Counter => new Counter({ name, help, registers })
  const proxied = new Counter({
    name: 'comio_proxied_reads_total',
    help: 'Reads of objects that are not here yet, by what asking the remotes led to.',
    labelNames: ['result'],
    registers,
  })
  const bytes = total('comio_proxied_read_bytes_total', 'Bytes answered out of other sites.')
  const damaged = total('comio_damaged_reads_total', 'Reads that met damaged bytes here.')
  const rescued = total(
    'comio_rescued_reads_total',
    'Of those, the ones that went on with the bytes of a remote.',
  )
  const mended = total(
    'comio_mended_objects_total',
    'Objects whose damaged bytes were replaced, after a read or in a scrub.',
  )
  const failures = total(
    'comio_mend_failures_total',
    'Objects whose damaged bytes could not be replaced, after a read or in a scrub.',
  )
  return (tally) => {
    proxied.reset()
    for (const [result, count] of tally.proxied) proxied.inc({ result }, count)
    const plain: readonly [Counter, number][] = [
      [bytes, tally.proxiedBytes],
      [damaged, tally.damagedReads],
      [rescued, tally.rescuedReads],
      [mended, tally.mended],
      [failures, tally.mendFailures],
    ]
    for (const [counter, value] of plain) {
      counter.reset()
      counter.inc(value)
    }
  }
}
