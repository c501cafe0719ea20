/**
 * The usual figures of the process under their usual names. prom-client's own collection of them
 * installs observers that cannot be taken down again; these are read when they are asked for.
 */
import { performance } from 'node:perf_hooks'
import { Counter, Gauge, type Registry } from 'prom-client'

export function addProcessMetrics(registry: Registry): void {
  const registers = [registry]
  let lastLoop = performance.eventLoopUtilization()
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage()
      this.reset()
      this.inc((user + system) / 1e6)
    },
  })
  const gauges: readonly (readonly [name: string, help: string, value: () => number])[] = [
    ['process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss()],
    ['nodejs_heap_size_used_bytes', 'Used heap.', () => process.memoryUsage().heapUsed],
    ['nodejs_external_memory_bytes', 'Buffers.', () => process.memoryUsage().external],
    [
      'process_start_time_seconds',
      'Start, seconds since 1970.',
      () => Math.round(performance.timeOrigin) / 1000,
    ],
    [
      'nodejs_eventloop_utilization',
      'Share of the time since the last look in which the event loop was busy.',
      () => {
        const now = performance.eventLoopUtilization()
        const { utilization } = performance.eventLoopUtilization(now, lastLoop)
        lastLoop = now
        return utilization
      },
    ],
  ]
  for (const [name, help, value] of gauges) {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value())
      },
    })
  }
}
